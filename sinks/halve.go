package sinks

import "fmt"

// halve writes n rows: all at once, and what is refused in halves, until the
// bad rows stand alone. Write returns why the rows from..to were refused, if
// it was for what they are. The refused rows come back in ascending order; an
// error comes with how many rows are done with before it.
func halve(n int, write func(from, to int) (reason string, err error)) (no []Refusal, done int, err error) {
	if n == 0 {
		return nil, 0, nil
	}
	type span struct{ from, to int }
	todo := []span{{0, n}} // the last is the next
	for tries := 0; len(todo) > 0; tries++ {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if tries == requestsMax {
			return no, s.from, fmt.Errorf("the server refuses much: paused after %d requests to find the bad rows", tries)
		}
		reason, err := write(s.from, s.to)
		switch {
		case err != nil:
			return no, s.from, err
		case reason == "":
		case s.to-s.from == 1:
			no = append(no, Refusal{s.from, reason})
		default:
			middle := s.from + (s.to-s.from)/2
			todo = append(todo, span{middle, s.to}, span{s.from, middle})
		}
	}
	return no, n, nil
}

// settle returns the error of a write of some rows of a batch: rows[k] is the
// number of the k-th of them. Ours are those that were refused before sending,
// theirs and done are what halve returned.
func settle(rows []int, ours, theirs []Refusal, done int, err error) error {
	for k := range theirs {
		theirs[k].Row = rows[theirs[k].Row]
	}
	all := merge(ours, theirs)
	if err == nil {
		return refused(all)
	}
	return partial(rows[done], until(all, rows[done]), err)
}
