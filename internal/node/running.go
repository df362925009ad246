package node

import (
	"context"
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"time"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// A running is an edition of a configuration: what runs, and its sinks.
type running struct {
	file    *config.File
	edition int
	runners []*runner // in the order of the file
	links   map[string]*link
	sinks   *deliveries
}

// A recipe is all that a tree is made of. Where two are equal, the tree that
// runs need not make room for another.
type recipe struct {
	pipelines []config.Pipeline
	sinks     []config.Target // the named ones that they use
	links     []int           // those that they publish through
	files     []stamp
}

// A stamp tells a version of a file from another, as make does.
type stamp struct {
	path  string
	bytes int64 // -1: it is not there
	at    time.Time
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{path: path, bytes: -1}
	}
	return stamp{path, info.Size(), info.ModTime()}
}

func stampsOf(paths []string) []stamp {
	var all []stamp
	for _, path := range paths {
		all = append(all, stampOf(path))
	}
	return all
}

func recipeOf(f *config.File, links map[string]*link, t *Tree) recipe {
	var r recipe
	t.All(func(t *Tree) {
		r.pipelines = append(r.pipelines, *t.Pipeline.Config)
		for _, list := range t.Pipeline.Config.Targets() {
			r.links = append(r.links, linksOf(list, links)...)
			for i := range list {
				if list[i].Ref != "" {
					r.sinks = append(r.sinks, *f.Sink(list[i].Ref))
				}
			}
		}
	})
	r.files = stampsOf(slices.Concat(f.Reads(r.pipelines), f.Reads(r.sinks)))
	return r
}

// build makes an edition of f out of its pipelines and of what of old can
// stay as it is. It changes nothing of old.
func (n *Node) build(f *config.File, pipes []*Pipeline, old *running) (*running, error) {
	next := &running{file: f, sinks: &deliveries{file: f, stdout: n.opts.Stdout, broker: n.broker, log: n.log, metrics: n.metrics}}
	if n.file.Journal.Dir != "" {
		next.sinks.node = n
	}
	if old != nil {
		next.edition = old.edition + 1
		next.sinks.old = slices.Clone(old.sinks.all)
	}
	var err error
	if next.links, err = n.openLinks(f, old); err != nil {
		return nil, err
	}
	next.sinks.links = next.links
	trees, err := n.connect(pipes, next.sinks)
	if err != nil {
		return nil, errors.Join(err, next.sinks.abandon())
	}
	for _, t := range trees {
		t.Pipeline.keep = durability(t)
		made := recipeOf(f, next.links, t)
		if r := old.same(t, made); r != nil {
			next.runners = append(next.runners, r)
			continue
		}
		r := newRunner(t, made, n.dispatcher, n.log, n.metrics)
		if r.keep() > journal.Volatile {
			r.keeper = n.newKeeper(t)
		}
		next.runners = append(next.runners, r)
	}
	return next, nil
}

// connect opens the sinks of pipelines and returns their trees.
func (n *Node) connect(pipes []*Pipeline, all *deliveries) ([]*Tree, error) {
	if err := all.openNamed(n.refused("")); err != nil {
		return nil, err
	}
	return Trees(pipes, func(p *Pipeline) (pipeline.Results, error) { return n.outlet(p, all) })
}

// same returns the runner of old that was made of the same, or nil.
func (old *running) same(t *Tree, made recipe) *runner {
	if old == nil {
		return nil
	}
	for _, r := range old.runners {
		if r.tree.Pipeline.Config.Name == t.Pipeline.Config.Name && reflect.DeepEqual(r.made, made) && r.tree.Failed() == nil {
			return r
		}
	}
	return nil
}

// outlet opens the sinks of p.
func (n *Node) outlet(p *Pipeline, all *deliveries) (*outlet, error) {
	cfg := p.Config
	p.rebirth = n.rebirths.ask
	o := newOutlet(cfg.Name, n.log, n.metrics)
	dead := n.refused(cfg.Name)
	var err error
	if o.dead, err = all.open(cfg.Name, cfg.DeadLetters, dead); err != nil {
		return nil, err
	}
	if o.late, err = all.open(cfg.Name, cfg.Late, dead); err != nil {
		return nil, err
	}
	if o.main, err = all.open(cfg.Name, cfg.To, dead); err != nil {
		return nil, err
	}
	o.branches = map[*pipeline.Branch]*branchOutlet{}
	for b, branch := range p.branches {
		to, err := all.open(cfg.Name, branch.To, dead)
		if err != nil {
			return nil, err
		}
		o.branches[b] = &branchOutlet{o, pipeline.BranchPort + branch.Path, to}
	}
	return o, nil
}

// trees calls do for every tree that runs.
func (r *running) trees(do func(*Tree)) {
	for _, one := range r.runners {
		one.tree.All(do)
	}
}

// pipelines returns those that take messages, in the order of the runners.
func (r *running) pipelines() []*Pipeline {
	var all []*Pipeline
	for _, one := range r.runners {
		all = append(all, one.tree.Pipeline)
	}
	return all
}

// without returns the runners that other does not have.
func (r *running) without(other *running) []*runner {
	return slices.DeleteFunc(slices.Clone(r.runners), func(one *runner) bool { return slices.Contains(other.runners, one) })
}

// tallies count what goes through pipelines, those that are gone too.
func (n *Node) tally(next *running) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := maps.Clone(n.tallies)
	if all == nil {
		all = map[string]bool{}
	}
	next.trees(func(t *Tree) { all[t.Pipeline.Config.Name] = true })
	n.tallies = all
}

// closePipelines frees what pipelines hold.
func closePipelines(ctx context.Context, pipes []*Pipeline) {
	for _, p := range pipes {
		p.Close(ctx)
	}
}
