package node

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"millrace.dev/millrace/internal/config"
)

// watchEvery is how often the configuration and the files that it names are
// looked at. A change counts when it has stayed as it is for as long again,
// so that a file is not read while it is written.
const watchEvery = time.Second

// Reload reads the configuration again, as if its file had changed. It does
// not wait; the log tells what became of it.
func (n *Node) Reload() {
	select {
	case n.asked <- struct{}{}:
	default: // one is waiting
	}
}

// watch reloads when it is asked to, and when files have changed, until ctx
// is done.
func (n *Node) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	known := n.stamps()
	seen := known
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.asked:
		case <-t.C:
			last := seen
			seen = n.stamps()
			if slices.Equal(seen, known) || !slices.Equal(seen, last) {
				continue
			}
		}
		known = n.stamps() // before they are read: what changes meanwhile is read again
		n.reload(ctx)
		known = keep(n.stamps(), known)
		seen = known
	}
}

// keep returns stamps, for files that are in before with the version there.
func keep(stamps, before []stamp) []stamp {
	for i, s := range stamps {
		if k := slices.IndexFunc(before, func(b stamp) bool { return b.path == s.path }); k >= 0 {
			stamps[i] = before[k]
		}
	}
	return stamps
}

// stamps returns the versions of the file and of what it names.
func (n *Node) stamps() []stamp {
	f := n.now.Load().file
	return stampsOf(append([]string{f.Path}, f.Reads(*f)...))
}

// reload puts the file as it is now in the place of the one that runs. What
// is wrong with it is told, and all stays as it is.
func (n *Node) reload(ctx context.Context) {
	start := time.Now()
	err := n.exchange(ctx)
	var problems config.Problems
	switch {
	case err == nil:
		n.metrics.Counter("millrace_reloads_total", "result", "done").Inc()
		n.log.Info("configuration reloaded", "file", n.file.Path, "after", time.Since(start).Round(time.Millisecond))
	case errors.Is(err, errEnded):
	case errors.As(err, &problems):
		n.metrics.Counter("millrace_reloads_total", "result", "refused").Inc()
		for _, p := range problems {
			n.log.Error(p.Error(), "in", p.Path, "line", strings.TrimSpace(p.Source), "hint", p.Hint)
		}
		n.log.Error("configuration not reloaded; the running one goes on", "problems", len(problems))
	default:
		n.metrics.Counter("millrace_reloads_total", "result", "refused").Inc()
		n.log.Error("configuration not reloaded; the running one goes on", "error", err)
	}
}

// read returns the file as it is now, and its pipelines.
func (n *Node) read(ctx context.Context) (*config.File, []*Pipeline, error) {
	f, err := config.Load(n.file.Path)
	var problems config.Problems
	if err != nil && (f == nil || !errors.As(err, &problems)) {
		return nil, nil, err
	}
	pipes, err := Compile(ctx, f, n.runtime)
	var more config.Problems
	if err != nil && !errors.As(err, &more) {
		return nil, nil, err
	}
	if problems = append(problems, more...); len(problems) > 0 {
		closePipelines(ctx, pipes)
		problems.Sort()
		return nil, nil, problems
	}
	return f, pipes, nil
}

// exchange reads the file and lets its edition take the place of the one that
// runs, between two messages.
func (n *Node) exchange(ctx context.Context) error {
	f, pipes, err := n.read(n.ctx)
	if err != nil {
		return err
	}
	n.needsRestart(f)
	old := n.now.Load()
	next, err := n.build(f, pipes, old)
	if err != nil {
		closePipelines(n.ctx, pipes)
		return err
	}
	if err := n.broker.SetAccess(brokerAccess(f.Broker.Access)); err != nil {
		closePipelines(n.ctx, pipes)
		return errors.Join(err, next.sinks.abandon())
	}
	stopped := old.without(next)
	failed, err := n.swap(old, next)
	if err != nil {
		closePipelines(n.ctx, pipes)
		return errors.Join(err, next.sinks.abandon())
	}
	for _, r := range stopped {
		r.tree.All(func(t *Tree) { t.Pipeline.Close(n.ctx) })
	}
	next.closeUnused(n.ctx, pipes)
	n.retire(old.sinks.without(next.sinks))
	part(old, next)
	n.join(next)
	n.deliver(next)
	return failed
}

// swap lets next take the place of old between two rounds. failed is what
// went wrong although it has; err is why it has not.
func (n *Node) swap(old, next *running) (failed, err error) {
	stopped, begun := old.without(next), next.without(old)
	err = n.dispatcher.change(func() {
		for _, r := range stopped {
			r.feed.finish()
		}
		for _, r := range stopped {
			<-r.ended
		}
		failed = errors.Join(n.handOver(next, stopped, begun), n.succeed(stopped, begun), beginKeepers(n.serve, begun, n.dispatcher.handed.Load()))
		n.install(next)
		n.begin(next)
	})
	return failed, err
}

// succeed lets the keepers of trees that are replaced go on in those that
// replace them, and lets go of the state of those that have no successor.
func (n *Node) succeed(stopped, begun []*runner) error {
	var errs []error
	for _, r := range stopped {
		if r.keeper == nil {
			continue
		}
		i := slices.IndexFunc(begun, func(o *runner) bool { return o.keeper != nil && o.keeper.name == r.keeper.name })
		if i >= 0 {
			begun[i].keeper.succeed(r.keeper)
			continue
		}
		errs = append(errs, n.giveUp(r.keeper.name))
	}
	return errors.Join(errs...)
}

// closeUnused frees pipelines that were compiled for nothing, as the same are
// running.
func (r *running) closeUnused(ctx context.Context, pipes []*Pipeline) {
	r.trees(func(t *Tree) {
		pipes = slices.DeleteFunc(pipes, func(p *Pipeline) bool { return p == t.Pipeline })
	})
	closePipelines(ctx, pipes)
}

// install makes next what runs: for the broker, and for the dispatcher, which
// must be between two rounds.
func (n *Node) install(next *running) {
	table := newRoutes(next.pipelines(), next.edition, n.others...)
	n.routes.Store(table)
	n.dispatcher.routes = table
	n.dispatcher.feeds = nil
	for _, r := range next.runners {
		n.dispatcher.feeds = append(n.dispatcher.feeds, r.feed)
	}
	n.tally(next)
	n.now.Store(next)
}

// begin starts the runners that do not run yet.
func (n *Node) begin(next *running) {
	for _, r := range next.runners {
		if !r.begun {
			r.begun = true
			n.pipes.Go(func() { r.run(n.serve) })
		}
	}
}

// deliver starts the deliveries that do not run yet.
func (n *Node) deliver(next *running) {
	for _, d := range next.sinks.fresh() {
		var ctx context.Context
		ctx, d.end = context.WithCancel(n.serve)
		n.servers.Go(func() { d.deliver(ctx) })
	}
}

// retire lets deliveries that nobody uses any more finish, and ends them.
func (n *Node) retire(all []*delivery) {
	ctx, cancel := context.WithTimeout(n.serve, DrainTimeout)
	defer cancel()
	old := deliveries{all: all}
	if err := old.drain(ctx); err != nil {
		n.log.Warn("rows lost with a sink that is gone", "error", err)
	}
	for _, d := range all {
		d.end()
		<-d.ended
	}
}

// needsRestart says which settings have changed that stay as they were.
func (n *Node) needsRestart(f *config.File) {
	was, is := n.file.Broker, f.Broker
	was.Access, is.Access = nil, nil // SetAccess is for them
	for _, s := range []struct {
		section  string
		old, new any
	}{
		{"broker", was, is}, {"http", n.file.HTTP, f.HTTP}, {"journal", n.file.Journal, f.Journal},
		{"functions", n.file.Functions, f.Functions}, {"log", n.file.Log, f.Log}, {"simulate", n.file.Simulate, f.Simulate},
	} {
		if !reflect.DeepEqual(s.old, s.new) {
			n.log.Warn("this needs a restart; until then it stays as it was", "section", s.section)
		}
	}
}
