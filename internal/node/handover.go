package node

import (
	"errors"
	"fmt"

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

// inherit gives a new pipeline the memory of the one whose place it takes, as
// far as it fits: keys and watermarks, and the state of steps. A stage that has
// refused a snapshot cannot be used, so build makes the pipeline anew without
// it; the pipeline returned may be another one than p.
func inherit(old *kept, p *Pipeline, build func() (*Pipeline, error)) (*Pipeline, []loss, error) {
	plan := planOf(p)
	if why := old.strange(plan); why != "" {
		return p, old.forget(why), nil
	}
	pairs, losses := old.pairUp(plan)
	for {
		k, err := old.hand(p, plan, pairs)
		if err == nil {
			return p, losses, nil
		}
		if k < 0 {
			if p, err = again(build, err); p == nil {
				return nil, nil, err
			}
			return p, old.forget(err.Error()), nil
		}
		losses = append(losses, loss{old.plan.Steps[pairs[k]].Stage, err.Error()})
		pairs[k] = -1
		if p, err = build(); err != nil {
			return nil, nil, err
		}
	}
}

// again builds a pipeline because of an error, which it returns, or why it
// could not be built.
func again(build func() (*Pipeline, error), because error) (*Pipeline, error) {
	p, err := build()
	if err != nil {
		return nil, err
	}
	return p, because
}

// forget returns the loss of all that is kept.
func (k *kept) forget(why string) []loss {
	var all []loss
	for _, s := range k.plan.Steps {
		all = append(all, loss{s.Stage, why})
	}
	return all
}

// pairUp returns which memory each stage of a new pipeline goes on from, or
// -1: that of one of the same place and content, or else the next of the same
// kind.
func (k *kept) pairUp(plan keptPlan) ([]int, []loss) {
	pairs := make([]int, len(plan.Steps))
	used := make([]bool, len(k.plan.Steps))
	find := func(i int, fits func(a, b *keptStep) bool) {
		for j := range k.plan.Steps {
			if pairs[i] < 0 && !used[j] && fits(&k.plan.Steps[j], &plan.Steps[i]) {
				pairs[i], used[j] = j, true
			}
		}
	}
	for i := range pairs {
		pairs[i] = -1
		find(i, func(a, b *keptStep) bool { return a.Digest == b.Digest })
	}
	for i := range pairs {
		find(i, func(a, b *keptStep) bool { return a.Kind == b.Kind && a.Function == b.Function })
	}
	var losses []loss
	for j, s := range k.plan.Steps {
		if !used[j] {
			losses = append(losses, loss{s.Stage, "the step is gone"})
		}
	}
	return pairs, losses
}

// hand gives p, which is new, what is kept. The error is that of stage k of
// p, or with k < 0 of what all stages need.
func (k *kept) hand(p *Pipeline, plan keptPlan, pairs []int) (stage int, err error) {
	if err := p.marks.Restore(k.marks, p.keys); err != nil {
		return -1, err
	}
	for i, j := range pairs {
		if j < 0 {
			continue
		}
		if why := k.plan.Steps[j].Lost; why != "" {
			return i, errors.New(why)
		}
		if err := p.memories[i].stage.Restore(k.memories[j]); err != nil {
			return i, err
		}
	}
	if p.decoder == nil || k.plan.Decode != plan.Decode || len(k.decoder) == 0 {
		return 0, nil
	}
	if err := p.decoder.Restore(k.decoder); err != nil {
		return -1, err
	}
	return 0, nil
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
			of := remember(before)
			losses, err := n.inheritTo(next, t, of)
			if err != nil {
				errs = append(errs, fmt.Errorf("pipeline %s: %w", name, err))
				return
			}
			n.log.Info("pipeline replaced", "pipeline", name, "steps_that_go_on", len(of.memories)-len(losses))
			n.tellLosses(name, losses)
		})
	}
	for name := range was {
		n.log.Info("pipeline removed", "pipeline", name)
	}
	return errors.Join(errs...)
}

// inheritTo gives the pipeline of t, which is new, what is kept as far as it
// fits; it may be another one then.
func (n *Node) inheritTo(next *running, t *Tree, of *kept) ([]loss, error) {
	var last *Pipeline
	p, losses, err := inherit(of, t.Pipeline, func() (_ *Pipeline, err error) {
		if last != nil {
			last.Close(n.ctx)
		}
		last, err = n.rebuild(next.file, t)
		return last, err
	})
	if err == nil && p != t.Pipeline {
		n.replace(t, p)
	}
	return losses, err
}

func (n *Node) tellLosses(name string, losses []loss) {
	for _, l := range losses {
		n.log.Warn("state lost in the change", "pipeline", name, "step", l.stage, "reason", l.why)
	}
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
	p.rebirth, p.keep = n.rebirths.ask, t.Pipeline.keep
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
