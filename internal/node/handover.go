package node

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline"
)

// A memory is a stage that remembers, and its step.
type memory struct {
	stage pipeline.Snapshotter
	step  *config.Step
}

// A loss says of what a pipeline that is replaced leaves behind, and why.
type loss struct{ stage, why string }

// inherit gives a new pipeline the memory of the one that it replaces, as far
// as it fits: watermarks, and the state of steps. A stage that has refused a
// snapshot cannot be used, so build makes the pipeline anew without it; the
// pipeline returned may be another one than p.
func inherit(old, p *Pipeline, build func() (*Pipeline, error)) (*Pipeline, []loss, error) {
	if why := strangers(old, p); why != "" {
		return p, forget(old, why), nil
	}
	pairs, losses := pairUp(old, p)
	for {
		k, err := hand(old, p, pairs)
		if err == nil {
			return p, losses, nil
		}
		if k < 0 {
			if p, err = build(); err != nil {
				return nil, nil, err
			}
			return p, forget(old, err.Error()), nil
		}
		losses = append(losses, loss{old.stage(old.memories[pairs[k]].step), err.Error()})
		pairs[k] = -1
		if p, err = build(); err != nil {
			return nil, nil, err
		}
	}
}

// strangers says why nothing of old can be of use to p, or "".
func strangers(old, p *Pipeline) string {
	a, b := old.Config, p.Config
	switch {
	case !slices.Equal(a.Key, b.Key):
		return "the key is another"
	case !reflect.DeepEqual(a.Time, b.Time):
		return "the event time is another"
	case !slices.Equal(a.From.Streams, b.From.Streams):
		return "the streams are others"
	case a.From.Pipeline != b.From.Pipeline:
		return "it reads from elsewhere"
	}
	return ""
}

// forget returns the loss of all that old remembers.
func forget(old *Pipeline, why string) []loss {
	var all []loss
	for _, m := range old.memories {
		all = append(all, loss{old.stage(m.step), why})
	}
	return all
}

// pairUp returns which stage of old each stage of p that remembers goes on
// from, or -1: one of the same place and content, or else the next of the
// same kind.
func pairUp(old, p *Pipeline) ([]int, []loss) {
	pairs := make([]int, len(p.memories))
	used := make([]bool, len(old.memories))
	find := func(k int, fits func(a, b *config.Step) bool) {
		for i := range old.memories {
			if pairs[k] < 0 && !used[i] && fits(old.memories[i].step, p.memories[k].step) {
				pairs[k], used[i] = i, true
			}
		}
	}
	for k := range pairs {
		pairs[k] = -1
		find(k, func(a, b *config.Step) bool { return reflect.DeepEqual(a, b) })
	}
	for k := range pairs {
		find(k, func(a, b *config.Step) bool { return a.Kind == b.Kind && a.Function == b.Function })
	}
	var losses []loss
	for i, m := range old.memories {
		if !used[i] {
			losses = append(losses, loss{old.stage(m.step), "the step is gone"})
		}
	}
	return pairs, losses
}

// hand copies the memory of old to p, which is new. The error is that of
// stage k of p, or with k < 0 of the watermarks.
func hand(old, p *Pipeline, pairs []int) (k int, err error) {
	if err := p.marks.Restore(old.marks.Snapshot(nil, old.keys), p.keys); err != nil {
		return -1, err
	}
	for k, i := range pairs {
		if i < 0 {
			continue
		}
		snapshot, err := old.memories[i].stage.Snapshot(nil)
		if err != nil {
			return k, err
		}
		if err := p.memories[k].stage.Restore(snapshot); err != nil {
			return k, err
		}
	}
	if !reflect.DeepEqual(old.Config.Decode, p.Config.Decode) || old.decoder == nil {
		return 0, nil
	}
	if err := handDecoder(old, p); err != nil {
		return -1, err
	}
	return 0, nil
}

// handDecoder copies what a decoder remembers of births and aliases, if it does.
func handDecoder(old, p *Pipeline) error {
	from, ok := any(old.decoder).(pipeline.Snapshotter)
	to, also := any(p.decoder).(pipeline.Snapshotter)
	if !ok || !also {
		return nil
	}
	snapshot, err := from.Snapshot(nil)
	if err != nil {
		return err
	}
	return to.Restore(snapshot)
}

// handOver lets the trees that replace others go on from where those stopped.
func (n *Node) handOver(next *running, stopped, begun []*runner) error {
	was := map[string]*Pipeline{}
	for _, r := range stopped {
		r.tree.All(func(t *Tree) { was[t.Pipeline.Config.Name] = t.Pipeline })
	}
	var errs []error
	for _, r := range begun {
		r.tree.All(func(t *Tree) {
			name := t.Pipeline.Config.Name
			before := was[name]
			if before == nil {
				n.log.Info("pipeline added", "pipeline", name)
				return
			}
			delete(was, name)
			var last *Pipeline
			p, losses, err := inherit(before, t.Pipeline, func() (_ *Pipeline, err error) {
				if last != nil {
					last.Close(n.ctx)
				}
				last, err = n.rebuild(next.file, t)
				return last, err
			})
			if err != nil {
				errs = append(errs, fmt.Errorf("pipeline %s: %w", name, err))
				return
			}
			if p != t.Pipeline {
				n.replace(t, p)
			}
			n.log.Info("pipeline replaced", "pipeline", name, "steps_that_go_on", len(before.memories)-len(losses))
			for _, l := range losses {
				n.log.Warn("state lost in the change", "pipeline", name, "step", l.stage, "reason", l.why)
			}
		})
	}
	for name := range was {
		n.log.Info("pipeline removed", "pipeline", name)
	}
	return errors.Join(errs...)
}

// rebuild compiles the file again for the pipeline of t alone.
func (n *Node) rebuild(f *config.File, t *Tree) (*Pipeline, error) {
	pipes, err := Compile(n.ctx, f, n.runtime)
	if err != nil {
		return nil, err
	}
	var mine *Pipeline
	for _, p := range pipes {
		if p.Config.Name == t.Pipeline.Config.Name {
			mine = p
			continue
		}
		p.Close(n.ctx)
	}
	return mine, nil
}

// replace puts p in the place of the pipeline of t.
func (n *Node) replace(t *Tree, p *Pipeline) {
	p.rebirth = n.rebirths.ask
	if o, ok := t.Results.(*outlet); ok { // its branches are known by what was built
		to := map[string]*branchOutlet{}
		for b, branch := range t.Pipeline.branches {
			to[branch.Path] = o.branches[b]
		}
		clear(o.branches)
		for b, branch := range p.branches {
			o.branches[b] = to[branch.Path]
		}
	}
	t.Pipeline.Close(n.ctx)
	t.Pipeline = p
	measureTree(t, n.log, n.metrics)
}
