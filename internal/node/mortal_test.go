package node

import (
	"context"
	"slices"
	"sync"
	"testing"

	"millrace.dev/millrace/internal/journal"
)

// A mortal is a journal that can lose its process: it keeps what a journal on
// disk would, message by message and entry by entry, so that a test can go on
// from wherever it likes. What nobody needs any more is spoilt, as if it were
// gone from disk.
type mortal struct {
	*journal.Memory
	t testing.TB

	mu    sync.Mutex
	log   []trace // Position is the place in it, from 1
	needs map[string]uint64
	sink  taker // of the nodes that are born with it; nil: nowhere
}

// A trace is a message or an entry.
type trace struct {
	record *journal.Record
	entry  *journal.Entry
}

func newMortal(t testing.TB) *mortal {
	return &mortal{t: t, Memory: journal.NewMemory(64 << 20), needs: map[string]uint64{}}
}

// revive returns the journal that a process finds when the one before has got
// n traces to disk.
func (m *mortal) revive(n int) *mortal {
	next := newMortal(m.t)
	needed := ^uint64(0)
	for _, offset := range m.needs {
		needed = min(needed, offset)
	}
	for _, tr := range m.log[:n] {
		next.log = append(next.log, tr)
		if tr.record == nil {
			continue
		}
		r := *tr.record
		r.Route = r.Route&routeKept | routeAsk
		if r.Offset < needed && n == len(m.log) {
			r.Payload = []byte("gone")
		}
		if _, err := next.Memory.TryAppend(r); err != nil {
			m.t.Fatal(err)
		}
	}
	return next
}

func (m *mortal) append(r journal.Record) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	offset, err := m.Memory.TryAppend(r)
	if err == nil && r.Keep > journal.Volatile {
		r.Offset, r.Topic, r.Payload = offset, slices.Clone(r.Topic), slices.Clone(r.Payload)
		m.log = append(m.log, trace{record: &r})
	}
	return offset, err
}

func (m *mortal) Append(_ context.Context, r journal.Record) (uint64, error) {
	return m.append(r)
}
func (m *mortal) TryAppend(r journal.Record) (uint64, error) { return m.append(r) }

func (m *mortal) Put(e journal.Entry) (journal.Commit, journal.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.Body = slices.Clone(e.Body)
	m.log = append(m.log, trace{entry: &e})
	return journal.Commit(len(m.log)), journal.Position(len(m.log)), nil
}

func (m *mortal) Entries(k journal.Kind, name string, f func(journal.Position, []byte) error) error {
	m.mu.Lock()
	log := slices.Clone(m.log)
	m.mu.Unlock()
	from := 0
	for i, tr := range log {
		if e := tr.entry; e != nil && e.Kind == k && e.Name == name && (e.Whole || e.Gone) {
			from = i
		}
	}
	for i, tr := range log {
		if e := tr.entry; i >= from && e != nil && e.Kind == k && e.Name == name && !e.Gone {
			if err := f(journal.Position(i+1), e.Body); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *mortal) Names(k journal.Kind) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, tr := range m.log {
		if e := tr.entry; e != nil && e.Kind == k {
			all = slices.DeleteFunc(all, func(name string) bool { return name == e.Name })
			if !e.Gone {
				all = append(all, e.Name)
			}
		}
	}
	return all
}

func (m *mortal) Need(who string, offset uint64, _ journal.Position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.needs[who] = offset
}
