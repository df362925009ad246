package node

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

// nowhere is a sink: what counts is what is in the journal.
type nowhere struct{}

func (nowhere) Push(*pipeline.Batch) {}

func (nowhere) PushEntry(string, journal.Position, []*pipeline.Batch) {}

// A life is what a node is between two deaths, without ports and sinks.
type life struct {
	*Node
	t      testing.TB
	j      *mortal
	random *rand.Rand
	old    []*Tree // of editions that are gone
}

// born builds the pipelines of f and lets them go on from j.
func born(t testing.TB, f *config.File, j *mortal, random *rand.Rand) *life {
	t.Helper()
	rt, err := NewRuntime(t.Context(), f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{file: f, log: slog.New(slog.NewTextHandler(t.Output(), nil)), metrics: metrics.New(), journal: j, runtime: rt, ctx: context.Background(), serve: context.Background()}
	n.rebirths = newRebirths(nil, n.log)
	n.dispatcher = newDispatcher(nil, nil, nil)
	l := &life{Node: n, t: t, j: j, random: random}
	now := l.edition(f, 0)
	from, err := n.recover(now)
	if err != nil {
		t.Fatal(err)
	}
	n.dispatcher.reader = j.Read(from)
	n.install(now)
	if err := beginKeepers(n.serve, now.runners, 0); err != nil {
		t.Fatal(err)
	}
	n.begin(now)
	n.pipes.Go(func() { n.dispatcher.run(n.serve) })
	return l
}

// edition builds what is to run of f.
func (l *life) edition(f *config.File, number int) *running {
	l.t.Helper()
	pipes, err := Compile(l.ctx, f, l.runtime)
	if err != nil {
		l.t.Fatal(err)
	}
	trees, err := Trees(pipes, func(p *Pipeline) (pipeline.Results, error) {
		o := newOutlet(p.Config.Name, l.log, l.metrics)
		to := []taker{nowhere{}}
		if l.j.sink != nil {
			to[0] = l.j.sink
		}
		o.main, o.late, o.dead, o.branches = to, to, to, map[*pipeline.Branch]*branchOutlet{}
		for b, c := range p.branches {
			o.branches[b] = &branchOutlet{o, pipeline.BranchPort + c.Path, to}
		}
		return o, nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	next := &running{file: f, edition: number}
	for _, tree := range trees {
		tree.Pipeline.keep = durability(tree)
		r := newRunner(tree, recipe{}, l.dispatcher, l.log, l.metrics)
		if r.keep() > journal.Volatile {
			r.keeper = l.newKeeper(tree)
			r.keeper.every = time.Duration(l.random.IntN(2)) * time.Hour // at every turn, or never
		}
		next.runners = append(next.runners, r)
	}
	return next
}

// live appends a part of a story; now and then the file is changed to another
// one of files.
func (l *life) live(story []instant, files ...*config.File) {
	l.t.Helper()
	for _, s := range story {
		if l.random.IntN(200) == 0 && len(files) > 0 {
			old := l.now.Load()
			next := l.edition(files[l.random.IntN(len(files))], old.edition+1)
			if failed, err := l.swap(old, next); failed != nil || err != nil {
				l.t.Fatal(failed, err)
			}
			old.trees(func(t *Tree) { l.old = append(l.old, t) })
		}
		r := journal.Record{Tick: true, Arrived: s.now, Keep: journal.Relaxed}
		if s.now == 0 {
			r = s.rec
			r.Route, r.Keep = l.routes.Load().from(0, r.Topic)
		}
		if _, err := l.j.TryAppend(r); err != nil {
			l.t.Fatal(err)
		}
		if l.random.IntN(20) == 0 {
			offset := l.j.Next() - 1
			until(l.t, func() bool { return l.dispatcher.handed.Load() >= offset })
		}
	}
}

// die ends the life after a last state, as a drain does.
func (l *life) die() {
	l.j.Seal()
	l.pipes.Wait()
	l.Node.now.Load().trees(func(t *Tree) { l.old = append(l.old, t) })
	for _, t := range l.old {
		t.Pipeline.Close(context.Background())
	}
	l.runtime.Close(context.Background())
}

// outbox returns the results that are in the journal, by pipeline and port.
func (m *mortal) outbox() map[string]string {
	books := map[string]*notebook{}
	for _, tr := range m.log {
		if tr.entry == nil || tr.entry.Kind != journal.Checkpoint {
			continue
		}
		parcels, _, err := pipeline.Outbox(tr.entry.Body)
		if err != nil {
			m.t.Fatal(err)
		}
		pipeline.WalkParcels(parcels, func(_ int, p pipeline.Packed) error {
			name := string(p.Pipeline) + " " + string(p.Port)
			if books[name] == nil {
				books[name] = &notebook{t: m.t}
			}
			var b pipeline.Batch
			if _, err := b.Decode(p.Batch); err != nil {
				m.t.Fatal(err)
			}
			books[name].rows("", &b)
			return nil
		})
	}
	all := map[string]string{}
	for name, book := range books {
		text := book.text.String()
		if strings.HasSuffix(name, pipeline.DeadPort) { // stage by stage within a call
			lines := strings.Split(text, "\n")
			slices.Sort(lines)
			text = strings.Join(lines, "\n")
		}
		all[name] = text
	}
	return all
}

// messages returns how many of a story are in the journal.
func (m *mortal) messages() int {
	n := 0
	for _, tr := range m.log {
		if tr.record != nil {
			n++
		}
	}
	return n
}

func checkSameResults(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, text := range want {
		if got[name] == text {
			continue
		}
		a, b := strings.Split(got[name], "\n"), strings.Split(text, "\n")
		for i := range b {
			if i >= len(a) || a[i] != b[i] {
				t.Errorf("%s: %d rows, want %d; the first that differs is %d: got\n%s\nwant\n%s", name, len(a)-1, len(b)-1, i, append(a, make([]string, i+1)...)[i], b[i])
				break
			}
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("%s: got results, want none", name)
		}
	}
}

// checkDeaths checks that a story comes to the same results, byte for byte,
// however often the process dies while it is told. yamls say the same in
// different ways: each life begins with one of them and may change to another.
func checkDeaths(t *testing.T, story []instant, yamls ...string) {
	var files []*config.File
	for _, yaml := range yamls {
		files = append(files, load(t, "journal: {dir: data}\n"+yaml))
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := born(t, files[0], newMortal(t), random)
	l.live(story)
	l.die()
	want := l.j.outbox()
	if len(want) == 0 {
		t.Fatal("the story has no results")
	}
	for range 3 {
		j := newMortal(t)
		deaths := 0
		for told := 0; told < len(story); deaths++ {
			l := born(t, files[random.IntN(len(files))], j, random)
			l.live(story[told:min(len(story), told+1+random.IntN(len(story)/3))], files[1:]...)
			l.die()
			log := len(l.j.log)
			if random.IntN(4) > 0 { // without what would have been written last
				log -= random.IntN(1 + min(log-1, len(story)/10))
			}
			j = l.j.revive(log)
			told = j.messages()
		}
		last := born(t, files[0], j, random) // it may find messages whose results were lost
		last.die()
		checkSameResults(t, j.outbox(), want)
		t.Logf("%d deaths", deaths)
	}
}

func TestResultsAreTheSameHoweverOftenTheProcessDies(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	story := story(random, 3000)
	for name, yaml := range map[string]string{
		"windows and functions in C": chained,
		"sessions": `
pipelines:
  sessions:
    from: plant/{line}/{device}
    time: ts
    key: device
    lateness: 1s
    idle: 10s
    steps:
      - window: {session: 2s, fields: {n: count(), mean: mean(temp), top: "top(2, line)"}}
      - function: zscore
        input: {value: mean}
    to: [{stdout: {}}]
  late:
    from: plant/a/{device}
    steps: [{window: {tumbling: 20s, fields: {n: count()}}}]
    to: [{stdout: {}}]
`,
		"pipelines that read each other": `
pipelines:
  raw:
    from: plant/{line}/{device}
    time: ts
    key: device
    steps:
      - dedupe: {within: 10s}
      - deadband: {fields: {temp: 1}}
      - switch:
          hot: {where: temp > 70, steps: [{throttle: {rows: 3, per: 10s}}], to: [{stdout: {}}]}
    to: [{stdout: {}}]
  means:
    from: {pipeline: raw}
    key: line
    lateness: 3s
    steps:
      - window: {hopping: 10s, every: 5s, fields: {n: count(), mean: mean(temp)}}
      - compress: {field: mean, deviation: 1, every: 1m}
    to: [{stdout: {}}]
  filled:
    from: {pipeline: means}
    key: line
    steps: [{fill: {every: 5s, with: last, fields: [mean]}}, {sample: 2}]
    to: [{stdout: {}}]
`,
	} {
		t.Run(name, func(t *testing.T) { checkDeaths(t, story, yaml) })
	}
}

func TestAFileThatIsChangedGoesOnWhereItFits(t *testing.T) {
	with := func(steps string) string {
		return `
pipelines:
  means:
    from: plant/{line}/{device}
    time: ts
    key: device
    lateness: 2s
    steps: [` + steps + `{window: {tumbling: 5s, fields: {mean: mean(temp), n: count()}}}]
    to: [{stdout: {}}]
`
	}
	random := rand.New(rand.NewPCG(9, 9))
	checkDeaths(t, story(random, 3000), with(""), with("{where: line != \"z\"}, "), with("{where: device != \"z\"}, {where: line != \"z\"}, "))
}

// A tally is a sink that counts rows.
type tally struct{ rows atomic.Int64 }

func (c *tally) Push(b *pipeline.Batch) { c.rows.Add(int64(b.Rows())) }

func (c *tally) PushEntry(_ string, _ journal.Position, rows []*pipeline.Batch) {
	for _, b := range rows {
		c.Push(b)
	}
}

func TestEagerResultsLeaveAtOnceAndOthersWhenTheyAreInTheJournal(t *testing.T) {
	for _, emit := range []string{"eager", "committed"} {
		random := rand.New(rand.NewPCG(1, 1))
		c, j := &tally{}, newMortal(t)
		j.sink = c
		l := born(t, load(t, "journal: {dir: data}\npipelines: {p: {from: in/+, emit: "+emit+", to: [{stdout: {}}]}}"), j, random)
		l.live([]instant{{rec: record(1, "in/a", "1")}, {rec: record(2, "in/a", "2")}})
		l.die()
		if got := c.rows.Load(); got != 2 {
			t.Errorf("%s: %d rows got to the sink, want 2", emit, got)
		}
		if got, want := len(l.j.outbox()), map[string]int{"eager": 0, "committed": 1}[emit]; got != want {
			t.Errorf("%s: results of %d ports are in the journal, want %d", emit, got, want)
		}
	}
}

func TestNothingIsPutWhileNothingHappens(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	l := born(t, load(t, "journal: {dir: data}\n"+chained), newMortal(t), random)
	r := l.now.Load().runners[0]
	r.keeper.every = 0
	l.live(story(random, 50))
	until(t, func() bool { r.feed.signal(); return l.dispatcher.handed.Load() == l.j.Next()-1 })
	before := 0
	until(t, func() bool {
		for range 100 {
			r.feed.signal()
		}
		l.j.mu.Lock()
		defer l.j.mu.Unlock()
		same := len(l.j.log) == before && l.j.needs[needOf("motors")] == l.j.Next()
		before = len(l.j.log)
		return same
	})
	l.die()
	if got := len(l.j.log); got != before {
		t.Errorf("%d entries were put for nothing", got-before)
	}
}
