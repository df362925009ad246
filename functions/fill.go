package functions

import (
	"fmt"

	"millrace.dev/millrace/pipeline"
)

// find returns the column of an input in b, or nil when b has none: columns
// may come and go with the payloads.
func (in *input) find(b *pipeline.Batch) *pipeline.Column {
	if in.at < len(b.Columns) {
		if c := &b.Columns[in.at]; c.Name == in.name && in.takes(c.Kind) {
			return c
		}
	}
	for k := range b.Columns {
		if c := &b.Columns[k]; c.Name == in.name && in.takes(c.Kind) {
			return c
		}
	}
	return nil
}

// takes tells whether the input is read from columns of a kind.
func (in *input) takes(column pipeline.Kind) bool {
	return in.form != formPlain || readable(column, in.kind)
}

func isText(k pipeline.Kind) bool { return k == pipeline.Text || k == pipeline.Bytes }

// texts tells whether the guest reads text of any kind.
func (s *Stage) texts() bool {
	if s.spec.raw {
		return true
	}
	for k := range s.inputs {
		if isText(s.inputs[k].kind) {
			return true
		}
	}
	return false
}

// textBytes counts the text that the rows from up to to bring in.
func (s *Stage) textBytes(b *pipeline.Batch, from, to int) int {
	total := 0
	count := func(in *input) {
		if c := in.find(b); c != nil {
			total += int(c.Off[to] - c.Off[from])
		}
	}
	for k := range s.inputs {
		if isText(s.inputs[k].kind) {
			count(&s.inputs[k])
		}
	}
	if s.spec.raw {
		count(&s.raw[0])
		count(&s.raw[1])
	}
	return total
}

// fill copies the inputs of n rows into the frame.
func (s *Stage) fill(b *pipeline.Batch, from, n int) error {
	var room text
	if s.texts() {
		if err := s.textRoom(s.textBytes(b, from, from+n)); err != nil {
			return err
		}
		room = s.text
	}
	for k := range s.inputs {
		in, v := &s.inputs[k], &s.frame.in[k]
		if in.form != formPlain {
			s.frame.putBits(v, in.find(b), from, n, in)
		} else if isText(in.kind) {
			room = s.frame.putText(v, in.find(b), from, n, room)
		} else {
			s.frame.put(v, in.find(b), from, n)
		}
	}
	if s.spec.raw {
		room = s.frame.putText(&s.frame.topic, s.raw[0].find(b), from, n, room)
		s.frame.putText(&s.frame.load, s.raw[1].find(b), from, n, room)
	}
	return nil
}

// textRoomLeast is what is asked for at first, bytes.
const textRoomLeast = 16 << 10

// textRoom makes sure that there is room for n bytes of text. Room is never
// given back, so it doubles.
func (s *Stage) textRoom(n int) error {
	most := s.module.runtime.options.OutputMax
	if n > most {
		return fmt.Errorf("brings %d bytes of text, the most is %d", n, most)
	}
	if n <= len(s.text.mem) && s.text.mem != nil {
		return nil
	}
	size := max(textRoomLeast, len(s.text.mem))
	for size < n {
		size *= 2
	}
	at, err := s.inst.room(uint32(size))
	if err != nil {
		return fmt.Errorf("room for %d bytes of text: %w", n, err)
	}
	s.text = text{at, s.inst.mem[at : at+uint32(size)]}
	return nil
}
