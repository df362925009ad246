package broker

import (
	"sync"
	"time"
)

const (
	quietFor       = 10 * time.Second // between two log lines about the same thing
	quietThingsMax = 1024             // things remembered; more of them are not logged
)

// quiet says whether to log about a thing, so that no client can fill the log.
type quiet struct {
	now func() time.Time

	mu   sync.Mutex
	last map[string]time.Time
}

func newQuiet() *quiet { return &quiet{now: time.Now, last: map[string]time.Time{}} }

// allow reports whether nothing was logged about thing for a while.
func (q *quiet) allow(thing string) bool {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if last, ok := q.last[thing]; ok && now.Sub(last) < quietFor {
		return false
	}
	if len(q.last) >= quietThingsMax {
		for k, last := range q.last {
			if now.Sub(last) >= quietFor {
				delete(q.last, k)
			}
		}
		if len(q.last) >= quietThingsMax {
			return false
		}
	}
	q.last[thing] = now
	return true
}
