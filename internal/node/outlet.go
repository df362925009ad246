package node

import (
	"log/slog"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

// deadLogEvery is how often a pipeline logs its dead letters, at most.
const deadLogEvery = 10 * time.Second

// A taker is where rows go; a sinks.Delivery is one.
type taker interface {
	Push(b *pipeline.Batch)
	PushEntry(tree string, at journal.Position, rows []*pipeline.Batch)
}

// An outlet takes what comes out of a pipeline to its sinks and counts it.
type outlet struct {
	name             string
	main, late, dead []taker
	branches         map[*pipeline.Branch]*branchOutlet
	keeper           *keeper // makes results durable before they leave; nil: they leave at once
	log              *slog.Logger
	now              func() time.Time

	rows, lateRows, deadLetters *metrics.Counter
	letters                     *pipeline.Batch
	logged                      time.Time
	since                       int // dead letters since the last log line
}

func newOutlet(name string, log *slog.Logger, m *metrics.Registry) *outlet {
	return &outlet{
		name: name, log: log.With("pipeline", name), now: time.Now,
		rows:        m.Counter("millrace_pipeline_rows_out_total", "pipeline", name),
		lateRows:    m.Counter("millrace_pipeline_late_total", "pipeline", name),
		deadLetters: m.Counter("millrace_pipeline_dead_letters_total", "pipeline", name),
		letters:     newLetters(),
	}
}

// send takes rows out of a port to its sinks, or to the keeper first.
func (o *outlet) send(port string, to []taker, b *pipeline.Batch) {
	switch {
	case len(to) == 0:
	case o.keeper != nil:
		o.keeper.collect(o.name, port, b)
	default:
		for _, t := range to {
			t.Push(b)
		}
	}
}

// takers returns where the rows of a port go.
func (o *outlet) takers(port string) []taker {
	switch port {
	case pipeline.MainPort:
		return o.main
	case pipeline.LatePort:
		return o.late
	case pipeline.DeadPort:
		return o.dead
	}
	for _, b := range o.branches {
		if b.port == port {
			return b.to
		}
	}
	return nil
}

// muted reports whether what comes out has come out before.
func (o *outlet) muted() bool { return o.keeper != nil && o.keeper.muted() }

func (o *outlet) Main(b *pipeline.Batch) {
	if !o.muted() {
		o.rows.Add(b.Rows())
		o.send(pipeline.MainPort, o.main, b)
	}
}

// Branch implements pipeline.Brancher.
func (o *outlet) Branch(b *pipeline.Branch) pipeline.Results { return o.branches[b] }

// A branchOutlet takes the rows of a branch to its sinks. All else is that of
// the pipeline.
type branchOutlet struct {
	*outlet
	port string
	to   []taker
}

func (o *branchOutlet) Main(b *pipeline.Batch) {
	if !o.muted() {
		o.rows.Add(b.Rows())
		o.send(o.port, o.to, b)
	}
}

func (o *outlet) Late(b *pipeline.Batch) {
	if !o.muted() {
		o.lateRows.Add(b.Rows())
		o.send(pipeline.LatePort, o.late, b)
	}
}

func (o *outlet) Dead(letters []pipeline.DeadLetter) {
	if o.muted() {
		return
	}
	o.deadLetters.Add(len(letters))
	o.since += len(letters)
	if now := o.now(); now.Sub(o.logged) >= deadLogEvery {
		l := letters[0]
		o.log.Warn("dead letters", "count", o.since, "stage", l.Stage, "reason", l.Reason, "topic", l.Topic)
		o.logged, o.since = now, 0
	}
	if len(o.dead) > 0 {
		fillLetters(o.letters, letters)
		o.send(pipeline.DeadPort, o.dead, o.letters)
	}
}

// newLetters returns a batch with the columns of a dead letter.
func newLetters() *pipeline.Batch {
	return pipeline.NewBatch(pipeline.Schema{
		{Name: "stage", Kind: pipeline.Text}, {Name: "reason", Kind: pipeline.Text},
		{Name: "topic", Kind: pipeline.Text}, {Name: "payload", Kind: pipeline.Bytes}, {Name: "offset", Kind: pipeline.Int},
	}, nil)
}

func fillLetters(b *pipeline.Batch, letters []pipeline.DeadLetter) {
	b.Reset()
	for _, l := range letters {
		b.AppendRow(pipeline.Row{Time: l.Time, Arrived: l.Time, Mark: l.Time, Offset: l.Offset})
		b.Columns[0].AppendText([]byte(l.Stage))
		b.Columns[1].AppendText([]byte(l.Reason))
		b.Columns[2].AppendText([]byte(l.Topic))
		b.Columns[3].AppendText(l.Payload)
		b.Columns[4].AppendInt(int64(l.Offset))
	}
}
