package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace.dev/millrace/internal/checkpoint"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// newKeeper returns a keeper for a tree, and makes its results go there first.
func (n *Node) newKeeper(t *Tree) *keeper {
	k := &keeper{name: t.Pipeline.Config.Name, tree: t, journal: n.journal, every: n.file.Journal.Checkpoint, ending: n.ending, log: n.log}
	t.All(func(t *Tree) {
		if o, ok := t.Results.(*outlet); ok && t.Pipeline.Config.Emit != "eager" {
			o.keeper = k
		}
	})
	return k
}

// recover brings the trees of the first edition to where the journal has
// them, and returns the offset of the first message that one of them lacks.
func (n *Node) recover(now *running) (from uint64, err error) {
	next := n.journal.Next()
	from = next
	durable := map[string]bool{}
	for _, r := range now.runners {
		if r.keeper == nil {
			r.after = next - 1
			continue
		}
		durable[r.keeper.name] = true
		state, err := r.keeper.read()
		if err != nil {
			return 0, fmt.Errorf("pipeline %s: %w", r.keeper.name, err)
		}
		if r.keeper.place == 0 {
			r.keeper.applied = next - 1
			continue
		}
		if err := n.restore(now, r, state); err != nil {
			return 0, err
		}
		from = min(from, r.keeper.applied+1)
	}
	return from, n.forget(durable)
}

// read reads the latest state of the tree and how far its results go.
func (k *keeper) read() ([]checkpoint.Section, error) {
	err := k.journal.Entries(journal.Checkpoint, k.name, func(at journal.Position, body []byte) error {
		_, rest, err := pipeline.Outbox(body)
		if err != nil {
			return err
		}
		s, err := checkpoint.Read(rest)
		if err != nil {
			return err
		}
		k.known = max(k.known, s.Applied)
		if !s.Has() {
			k.since += len(body)
			return nil
		}
		state, err := s.Apply(k.state, k.at)
		if err != nil {
			k.log.Error("a part of a pipeline's state cannot be read; it goes on from an older one", "pipeline", k.name, "error", err)
			return nil
		}
		k.state, k.at, k.applied = state, s.Applied, s.Applied
		if k.since += len(body); s.Whole() {
			k.place, k.since = at, 0
		}
		return nil
	})
	return k.state, err
}

// restore gives a tree its state. Where the file is now another, the state is
// given as far as it fits.
func (n *Node) restore(now *running, r *runner, state []checkpoint.Section) error {
	var errs []error
	r.tree.All(func(t *Tree) {
		name := t.Pipeline.Config.Name
		of, err := keptIn(state, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("pipeline %s: %w", name, err))
		}
		if of == nil {
			return
		}
		same := of.equal(t.Pipeline)
		losses, err := n.inheritTo(now, t, of)
		if err != nil {
			errs = append(errs, fmt.Errorf("pipeline %s: %w", name, err))
		}
		if !same {
			n.log.Info("the file was changed while millrace was down", "pipeline", name)
		}
		n.tellLosses(name, losses)
	})
	return errors.Join(errs...)
}

// forget lets go of the state of pipelines that are not durable any more.
func (n *Node) forget(durable map[string]bool) error {
	for _, name := range n.journal.Names(journal.Checkpoint) {
		if durable[name] {
			continue
		}
		n.log.Warn("the state of a pipeline is given up: the file has no durable one of that name", "pipeline", name)
		if err := n.giveUp(name); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) giveUp(tree string) error {
	n.journal.Need(needOf(tree), 0, 0)
	_, _, err := n.journal.Put(journal.Entry{Kind: journal.Checkpoint, Name: tree, Gone: true})
	return err
}

// beginKeepers starts to keep what runners do; messages up to applied were
// handed out before they were there.
func beginKeepers(ctx context.Context, all []*runner, applied uint64) error {
	var errs []error
	for _, r := range all {
		if r.keeper != nil {
			r.keeper.applied = max(r.keeper.applied, applied)
			errs = append(errs, r.keeper.begin(ctx))
		}
	}
	return errors.Join(errs...)
}

// endKeepers ends what beginKeepers has begun, of runners that do not run.
func endKeepers(all []*runner) {
	for _, r := range all {
		if r.keeper != nil && r.keeper.out != nil {
			r.keeper.end()
		}
	}
}

// brokersTable is the table of the names of other brokers, in the order of
// their numbers.
const brokersTable = "brokers"

// readBrokers reads the numbers that other brokers have in the journal.
func (n *Node) readBrokers() error {
	return n.journal.Entries(journal.Table, brokersTable, func(_ journal.Position, body []byte) error {
		n.others = strings.FieldsFunc(string(body), func(r rune) bool { return r == '\n' })
		return nil
	})
}

// keepBrokers puts them.
func (n *Node) keepBrokers() error {
	body := strings.Join(slices.Clone(n.others), "\n")
	_, _, err := n.journal.Put(journal.Entry{Kind: journal.Table, Name: brokersTable, Whole: true, Body: []byte(body)})
	return err
}
