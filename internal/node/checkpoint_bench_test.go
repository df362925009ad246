package node

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// silent takes results.
type silent struct{}

func (silent) Main(*pipeline.Batch)       {}
func (silent) Late(*pipeline.Batch)       {}
func (silent) Dead([]pipeline.DeadLetter) {}

// BenchmarkCheckpoint puts a state of about 1 MiB, that of a C function with a
// slot for each of many keys, after so many of the keys have changed: ms in a
// checkpoint each second are tenths of a percent of a core.
func BenchmarkCheckpoint(b *testing.B) {
	const keys = 14_000
	yaml := `
pipelines:
  p: {from: "in/{device}", key: device, steps: [{function: zscore, input: {value: v}}], to: [{stdout: {}}]}
`
	for _, part := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("1 of %d keys", part), func(b *testing.B) {
			p := compile(b, load(b, yaml))[0]
			tree := &Tree{Pipeline: p, Results: silent{}}
			j := &nothing{Memory: journal.NewMemory(1 << 20)}
			k := &keeper{name: "p", tree: tree, journal: j, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
			if err := k.begin(b.Context()); err != nil {
				b.Fatal(err)
			}
			defer k.end()
			offset, round := uint64(0), 0
			change := func(part int) {
				for i := round % part; i < keys; i += part {
					offset++
					tree.Process([]journal.Record{{Offset: offset, Arrived: int64(offset), Topic: fmt.Appendf(nil, "in/machine%05d", i), Payload: fmt.Appendf(nil, `{"v":%d.5}`, (i+round)%97)}})
				}
				round++
				k.processed(offset, 0)
			}
			change(1)
			k.checkpoint(b.Context(), time.Now())
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				change(part)
				b.StartTimer()
				if err := k.checkpoint(b.Context(), time.Now()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(bytesOf(k.state))/(1<<20), "MiB-state")
			b.ReportMetric(float64(j.bytes)/float64(b.N), "B/checkpoint")
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/10, "%-of-a-core-at-1/s")
		})
	}
}

// nothing is a journal that counts entries.
type nothing struct {
	*journal.Memory
	bytes int
}

func (n *nothing) Put(e journal.Entry) (journal.Commit, journal.Position, error) {
	n.bytes += len(e.Body)
	return 1, 1, nil
}

// BenchmarkRecovery builds the pipeline of windows and C functions again and
// processes the messages behind its state, whose results the journal does not
// have: a restart after a crash, but for what reading the disk takes.
func BenchmarkRecovery(b *testing.B) {
	const messages = 200_000
	f := load(b, "journal: {dir: data}\n"+chained)
	random := rand.New(rand.NewPCG(1, 1))
	told := story(random, messages)
	l := born(b, f, newMortal(b), random)
	l.die()
	for range b.N {
		b.StopTimer()
		j := l.j.revive(len(l.j.log))
		l := born(b, f, j, random)
		route, keep := l.routes.Load().from(0, []byte("plant/a/m0"))
		l.die()
		j = j.revive(1)
		for _, s := range told {
			if s.now == 0 {
				r := s.rec
				r.Route, r.Keep = route, keep
				if _, err := j.append(r); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.StartTimer()
		born(b, f, j, random).die()
	}
	b.ReportMetric(float64(b.N)*messages/b.Elapsed().Seconds(), "messages/s")
}
