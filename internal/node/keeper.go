package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"millrace.dev/millrace/internal/checkpoint"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

const (
	parcelBytesMax = 1 << 20   // results that go into one entry, but for those of the last message
	heldMax        = 64        // entries whose results wait for their commit; then the tree waits
	inputBytesMax  = 256 << 20 // messages after which a state is due, however soon
	fullWait       = 100 * time.Millisecond
)

// A keeper makes durable what a tree of pipelines does.
//
//	tree ──results──▶ collect ─┐
//	     ──Snapshot─▶ state ───┴─▶ Put ──▶ journal ──committed──▶ release ──▶ sinks
//
// A replay from a state on comes to the same results, so that those need no
// state with them: they leave with the next commit, and states are kept now
// and then. It is for the goroutine of its runner; release has one of its own.
type keeper struct {
	name    string
	tree    *Tree
	journal journal.Journal
	every   time.Duration
	ending  <-chan struct{} // closed when nobody waits for space any more
	log     *slog.Logger

	applied uint64 // messages up to here have been processed
	known   uint64 // results of messages up to here are in the journal: those of a replay are not wanted
	parcels []byte // results that are in no entry yet

	state   []checkpoint.Section // that was put last
	at      uint64               // what was applied in it
	place   journal.Position     // of the latest whole one; 0: there is none
	since   int                  // bytes put since
	touched bool                 // something has been processed since the state
	input   int                  // bytes of it
	last    time.Time            // when it was put

	out  chan held
	done chan struct{} // closed when release has returned
}

// A held is an entry that waits for its commit.
type held struct {
	commit  journal.Commit
	at      journal.Position
	parcels []byte
	needs   uint64 // messages from here on will be needed, and entries from place on; 0: as before
	place   journal.Position
}

// muted reports whether results are not wanted, as the journal has them.
func (k *keeper) muted() bool { return k.applied < k.known }

// collect takes rows that have come out of a port.
func (k *keeper) collect(name, port string, b *pipeline.Batch) {
	k.parcels = pipeline.AppendParcel(k.parcels, pipeline.Parcel{Pipeline: name, Port: port, Batch: b})
}

// processed notes that all messages up to an offset are done.
func (k *keeper) processed(offset uint64, bytes int) {
	k.applied, k.touched = max(k.applied, offset), true
	k.input += bytes
}

// rest puts what there is to be put between two turns.
func (k *keeper) rest(ctx context.Context, now time.Time) error {
	if now.Sub(k.last) >= k.every || k.input >= inputBytesMax {
		return k.checkpoint(ctx, now)
	}
	if len(k.parcels) == 0 {
		return nil
	}
	body := checkpoint.Append(pipeline.AppendPacked(nil, k.parcels), k.applied)
	h, err := k.put(ctx, body, false)
	if err != nil {
		return err
	}
	k.since += len(body)
	return k.hold(ctx, h)
}

// checkpoint puts the state, if it has changed, and what rest would put.
func (k *keeper) checkpoint(ctx context.Context, now time.Time) error {
	k.last = now
	if k.muted() {
		return nil // the state that is there has the results with it
	}
	state := k.state
	if k.touched {
		state = k.sections()
	}
	changed := k.place == 0 || !checkpoint.Same(state, k.state)
	k.touched, k.input = false, 0
	if !changed && len(k.parcels) == 0 && !k.isOld() {
		return k.hold(ctx, held{commit: k.journal.Last(), needs: k.applied + 1, place: k.place})
	}
	body, whole := k.body(state)
	h, err := k.put(ctx, body, whole)
	if err != nil {
		return err
	}
	if k.since += len(body); whole {
		k.place, k.since = h.at, 0
	}
	k.state, k.at = state, k.applied
	h.needs, h.place = k.applied+1, k.place
	return k.hold(ctx, h)
}

// body returns the results and the state, whole if what was put since it last
// was is more than that.
func (k *keeper) body(state []checkpoint.Section) (body []byte, whole bool) {
	body = pipeline.AppendPacked(nil, k.parcels)
	if k.place > 0 && !k.isOld() {
		head := len(body)
		body = checkpoint.AppendChanges(body, k.applied, state, k.at, k.state)
		if k.since+len(body)-head < 2*bytesOf(state) {
			return body, false
		}
		body = body[:head]
	}
	return checkpoint.AppendWhole(body, k.applied, state), true
}

func bytesOf(all []checkpoint.Section) int {
	n := 0
	for _, s := range all {
		n += len(s.Name) + len(s.Content)
	}
	return n
}

// isOld reports whether the latest whole state keeps much of the journal from
// being used again.
func (k *keeper) isOld() bool {
	_, end, most := k.journal.Span()
	return most > 0 && end-k.place > most/4
}

// sections returns the state of the tree. A pipeline that has stopped has
// none: after a restart it begins anew.
func (k *keeper) sections() (all []checkpoint.Section) {
	k.tree.All(func(t *Tree) {
		if t.Failed() == nil {
			all = remember(t.Pipeline).sections(all, t.Pipeline.Config.Name)
		}
	})
	return all
}

// put puts an entry with the results; while there is no space it waits.
func (k *keeper) put(ctx context.Context, body []byte, whole bool) (held, error) {
	e := journal.Entry{Kind: journal.Checkpoint, Name: k.name, Whole: whole, Body: body}
	for told := false; ; told = true {
		commit, at, err := k.journal.Put(e)
		if !errors.Is(err, journal.ErrFull) {
			h := held{commit: commit, at: at, parcels: k.parcels}
			k.parcels = nil
			return h, err
		}
		if !told {
			k.log.Warn("no space for a checkpoint; the pipeline waits", "pipeline", k.name, "bytes", len(body))
		}
		select {
		case <-time.After(fullWait):
		case <-k.journal.Failed():
			return held{}, k.journal.Err()
		case <-k.ending:
			return held{}, err
		case <-ctx.Done():
			return held{}, ctx.Err()
		}
	}
}

// hold hands an entry to release.
func (k *keeper) hold(ctx context.Context, h held) error {
	select {
	case k.out <- h:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// succeed goes on where another keeper of the tree has ended, even if it was
// in a replay.
func (k *keeper) succeed(old *keeper) {
	k.applied, k.known = old.applied, old.known
	k.state, k.at, k.place, k.since = old.state, old.at, old.place, old.since
	k.touched = true
}

// begin starts release, which lasts until end. A tree of which there is no
// state, or that of another edition, puts one: a replay needs something to
// begin with.
func (k *keeper) begin(ctx context.Context) error {
	k.last = time.Now()
	k.out, k.done = make(chan held, heldMax), make(chan struct{})
	go func() {
		defer close(k.done)
		k.release(ctx)
	}()
	if k.place > 0 && !k.touched {
		return nil
	}
	k.touched = true
	return k.checkpoint(ctx, k.last)
}

// end waits until everything that was put is committed and with the sinks.
func (k *keeper) end() {
	close(k.out)
	<-k.done
}

// release hands results to the sinks when they are on disk, in order. After
// an error of the journal nothing is handed on any more.
func (k *keeper) release(ctx context.Context) {
	var failed error
	outlets := outletsOf(k.tree)
	for h := range k.out {
		if failed == nil {
			failed = k.journal.Sync(ctx, h.commit)
		}
		if failed != nil {
			continue
		}
		if h.at == 0 && len(h.parcels) == 0 {
			// nothing was put
		} else if err := deliver(outlets, k.name, &h); err != nil {
			k.log.Error("BUG: results cannot be read back", "pipeline", k.name, "error", err)
		}
		if h.needs > 0 {
			k.journal.Need(needOf(k.name), h.needs, h.place)
		}
	}
}

func needOf(tree string) string { return "tree " + tree }
