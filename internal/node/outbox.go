package node

import (
	"fmt"
	"slices"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/sinks"
)

// An outbox finds in the journal what a delivery has to deliver.
type outbox struct {
	node *Node
	of   *delivery
}

// Trees implements sinks.Outbox.
func (o *outbox) Trees() []string {
	var all []string
	for _, r := range o.node.now.Load().runners {
		if r.keeper != nil && feeds(outletsOf(r.tree), o.of) {
			all = append(all, r.keeper.name)
		}
	}
	return all
}

// Read implements sinks.Outbox.
func (o *outbox) Read(tree string, after journal.Position) sinks.OutboxReader {
	return &outboxReader{EntryReader: o.node.journal.Follow(journal.Checkpoint, tree, after), outbox: o, tree: tree}
}

type outboxReader struct {
	journal.EntryReader
	outbox *outbox
	tree   string
}

// Next implements sinks.OutboxReader.
func (r *outboxReader) Next() (journal.Position, []*pipeline.Batch, error) {
	at, body, err := r.EntryReader.Next()
	if err != nil {
		return 0, nil, err
	}
	parcels, _, err := pipeline.Outbox(body)
	if err != nil {
		return at, nil, err
	}
	var outlets map[string]*outlet
	for _, one := range r.outbox.node.now.Load().runners {
		if one.keeper != nil && one.keeper.name == r.tree {
			outlets = outletsOf(one.tree)
		}
	}
	all, err := bySink(outlets, parcels)
	return at, all[r.outbox.of], err
}

// outletsOf returns the outlets of a tree by pipeline.
func outletsOf(t *Tree) map[string]*outlet {
	all := map[string]*outlet{}
	t.All(func(t *Tree) {
		if o, ok := t.Results.(*outlet); ok {
			all[t.Pipeline.Config.Name] = o
		}
	})
	return all
}

// each calls do for every list of sinks of an outlet.
func (o *outlet) each(do func([]taker)) {
	do(o.main)
	do(o.late)
	do(o.dead)
	for _, b := range o.branches {
		do(b.to)
	}
}

// feeds reports whether rows of outlets go to a sink.
func feeds(outlets map[string]*outlet, to taker) bool {
	found := false
	for _, o := range outlets {
		o.each(func(all []taker) { found = found || slices.Contains(all, to) })
	}
	return found
}

// bySink returns the rows of parcels for each sink that gets any, in order.
func bySink(outlets map[string]*outlet, parcels []byte) (map[taker][]*pipeline.Batch, error) {
	all := map[taker][]*pipeline.Batch{}
	return all, pipeline.WalkParcels(parcels, func(_ int, p pipeline.Packed) error {
		o := outlets[string(p.Pipeline)]
		if o == nil {
			return fmt.Errorf("results of %q, which is not there", p.Pipeline)
		}
		to := o.takers(string(p.Port))
		if len(to) == 0 {
			return nil
		}
		b := &pipeline.Batch{}
		if _, err := b.Decode(p.Batch); err != nil {
			return err
		}
		for _, t := range to {
			all[t] = append(all[t], b)
		}
		return nil
	})
}

// deliver hands the results of an entry to the sinks, also those that get
// nothing of it: they may then forget what is before.
func deliver(outlets map[string]*outlet, tree string, h *held) error {
	all, err := bySink(outlets, h.parcels)
	for _, o := range outlets {
		o.each(func(list []taker) {
			for _, t := range list {
				if _, ok := all[t]; !ok {
					all[t] = nil
				}
			}
		})
	}
	for t, rows := range all {
		t.PushEntry(tree, h.at, rows)
	}
	return err
}
