package pipeline

import "fmt"

// A Stage is one step of a pipeline. Process takes the rows of in, in order,
// and says in out what became of them. It may change in and hand it on. The
// outcome may not depend on how the rows are cut into batches. An error is
// for the whole pipeline: it stops. What is wrong with one row is a dead
// letter.
type Stage interface {
	Process(in *Batch, out *Outputs) error
}

// An Advancer is a stage that waits for time to pass. Advance is called when
// the watermark of a source has moved without a message; marks tells how far.
type Advancer interface {
	Advance(marks *Marks, out *Outputs) error
}

// A Waiter is an Advancer that may have nothing to wait for. Waits reports
// whether Advance could put anything out before another row comes.
type Waiter interface {
	Waits() bool
}

// A Delayer is a stage whose rows come out up to Delay µs behind the watermark
// that they went in with. It lowers the Mark of its rows by as much; Chain
// does the same for the stages behind it when time passes.
type Delayer interface {
	Delay() int64
}

// A Snapshotter is a stage that remembers. Snapshot appends its memory to dst;
// Restore, called on a new stage built alike, takes that memory back.
type Snapshotter interface {
	Snapshot(dst []byte) ([]byte, error)
	Restore(snapshot []byte) error
}

// Outputs is where a stage puts its results. A stage sets Main to the rows
// for the next stage: its input, changed or not, or a batch of its own, which
// it may use again at its next call. Late and dead rows are rare and copied.
type Outputs struct {
	Main *Batch
	Late *Batch       // rows of windows that had spoken; nil while there are none
	Dead []DeadLetter // messages set aside
}

// A DeadLetter is a message set aside with the reason. Topic and Payload are
// empty where the stage did not have them; Offset leads to them.
type DeadLetter struct {
	Time    int64 // event time, or arrival time where there is none, µs
	Offset  uint64
	Stage   string // such as decode, or steps[1] function zscore
	Reason  string
	Topic   string
	Payload []byte
}

// LateRow copies row i of b to the late rows.
func (o *Outputs) LateRow(b *Batch, i int) {
	if o.Late == nil {
		o.Late = NewBatch(b.Schema(), b.Keys)
	}
	o.Late.AppendFrom(b, i)
}

// DeadRow sets row i of b aside.
func (o *Outputs) DeadRow(b *Batch, i int, stage, format string, args ...any) {
	o.Dead = append(o.Dead, DeadLetter{Time: b.Time[i], Offset: b.Offset[i], Stage: stage, Reason: fmt.Sprintf(format, args...)})
}
