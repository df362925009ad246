package node

import (
	"fmt"
	"sync/atomic"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

// A Tree is a pipeline and those that read its results. They are one for
// messages and time: when Process returns, all of them have done what there
// is to do, so that none waits for another and nothing is under way between
// them. It is for one goroutine, but for Failed.
type Tree struct {
	Pipeline *Pipeline
	Results  pipeline.Results // gets what comes out of Pipeline; a pipeline.Brancher if it has branches
	Readers  []*Tree

	failed atomic.Pointer[error]
	told   func(error)      // nil for nobody
	in     *metrics.Counter // rows read from another pipeline; nil: not counted
}

// Trees returns the pipelines that take messages, with those that read their
// results below; results says where the results of each go.
func Trees(pipes []*Pipeline, results func(*Pipeline) (pipeline.Results, error)) ([]*Tree, error) {
	byName := map[string]*Tree{}
	for _, p := range pipes {
		r, err := results(p)
		if err != nil {
			return nil, err
		}
		byName[p.Config.Name] = &Tree{Pipeline: p, Results: r}
	}
	var roots []*Tree
	for _, p := range pipes {
		t := byName[p.Config.Name]
		if of := p.Config.From.Pipeline; of != "" {
			byName[of].Readers = append(byName[of].Readers, t)
		} else {
			roots = append(roots, t)
		}
	}
	return roots, nil
}

// All calls do for the tree and every one below.
func (t *Tree) All(do func(*Tree)) {
	do(t)
	for _, r := range t.Readers {
		r.All(do)
	}
}

// Failed returns why the pipeline stopped, or nil. Those below it then get
// nothing more; if one of those stops, the others go on.
func (t *Tree) Failed() error {
	if err := t.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// stop notes an error that is not one message's.
func (t *Tree) stop(err error) {
	if err == nil {
		return
	}
	err = fmt.Errorf("pipeline %s: %w", t.Pipeline.Config.Name, err)
	t.failed.Store(&err)
	if t.told != nil {
		t.told(err)
	}
}

// Process sends messages through the tree.
func (t *Tree) Process(recs []journal.Record) {
	if t.Failed() == nil {
		t.stop(t.Pipeline.Process(recs, t))
	}
}

// Advance tells the tree the time, as Pipeline.Advance does: each pipeline
// before those that read it.
func (t *Tree) Advance(now int64) {
	if t.Failed() == nil {
		t.stop(t.Pipeline.Advance(now, t))
	}
	for _, r := range t.Readers {
		r.Advance(now)
	}
}

// Waits reports whether a stage of the tree waits for time to pass.
func (t *Tree) Waits() bool {
	waits := false
	t.All(func(t *Tree) { waits = waits || t.Pipeline.Waits() })
	return waits
}

// Main implements pipeline.Results: rows go to the results and the readers.
func (t *Tree) Main(b *pipeline.Batch) {
	t.Results.Main(b)
	for _, r := range t.Readers {
		if r.Failed() != nil {
			continue
		}
		if r.in != nil {
			r.in.Add(b.Rows())
		}
		r.stop(r.Pipeline.Take(b, r))
	}
}

// Late implements pipeline.Results.
func (t *Tree) Late(b *pipeline.Batch) { t.Results.Late(b) }

// Dead implements pipeline.Results.
func (t *Tree) Dead(letters []pipeline.DeadLetter) { t.Results.Dead(letters) }

// Branch implements pipeline.Brancher: rows of branches go to their sinks alone.
func (t *Tree) Branch(b *pipeline.Branch) pipeline.Results {
	if r, ok := t.Results.(pipeline.Brancher); ok {
		return r.Branch(b)
	}
	return t.Results
}
