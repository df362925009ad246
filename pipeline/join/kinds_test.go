package join

import (
	"slices"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// result shortens a line to its time and values.
func result(line string) string {
	if rank(line) == 2 {
		return line
	}
	prefix := ""
	if rank(line) == 1 {
		prefix, line = "late ", strings.TrimPrefix(line, "late ")
	}
	at, _, _ := strings.Cut(line, " ")
	s := prefix + at
	for _, word := range strings.Fields(line) {
		if strings.Contains(word, ".value=") {
			s += " " + strings.Replace(word, ".value", "", 1)
		}
	}
	return s
}

func (b *bench) check(want ...string) {
	b.t.Helper()
	var got []string
	for _, line := range b.said {
		got = append(got, result(line))
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("got\n%s\nwant\n%s", strings.Join(b.said, "\n"), strings.Join(want, "\n"))
	}
	b.said = nil
}

// at is a message of stream s that arrives when it happens.
func at(time int64, s int, value float64) message {
	return message{at: time, time: time, device: "m", stream: s, offset: uint64(time*10) + uint64(s), value: value}
}

func TestARowTakesTheNearestOfEachOtherStream(t *testing.T) {
	b := newBench(t, 2, align(t, values(2), Inner))
	b.send(at(100, 0, 1), at(103, 0, 2), at(104, 1, 3))
	b.check("104 a=2 b=3")
	b.send(at(105, 1, 4)) // the row of 100 is 5 away
	b.check("105 a=1 b=4")
	b.send(at(110, 0, 5), at(116, 1, 6))
	b.check()
}

func TestRowsOfThreeStreamsAreNotFurtherApartThanWithin(t *testing.T) {
	b := newBench(t, 3, align(t, values(3), Inner))
	b.send(at(100, 0, 1), at(108, 2, 3), at(104, 1, 2))
	b.check() // both are near the one in the middle, and too far from each other
	b.send(at(107, 0, 4))
	b.check("108 a=4 b=2 c=3")
}

func TestAnOuterRowLeavesWhenTheSlowestStreamHasPassedIt(t *testing.T) {
	b := newBench(t, 2, align(t, values(2), Outer))
	b.send(at(100, 1, 1), at(110, 0, 2))
	b.send(at(120, 0, 3)) // the other stream is not idle: it may bring something for 110 yet
	b.check()
	b.send(at(108, 1, 4))
	b.check("100 b=1", "110 a=2 b=4")
	b.pass(175) // now both are silent for 50 and more
	b.check("120 a=3")
}

func TestASilentStreamDoesNotHoldTheOther(t *testing.T) {
	b := newBench(t, 2, align(t, values(2), Outer))
	b.send(at(100, 0, 1), at(120, 0, 2))
	b.check()
	b.pass(149)
	b.check()
	b.send(at(149, 0, 3))
	b.pass(150) // the other has never spoken since the key is there
	b.check("100 a=1", "120 a=2")
}

func TestALateRowIsSetAside(t *testing.T) {
	b := newBench(t, 2, align(t, values(2), Outer))
	b.send(at(100, 0, 1), at(100, 1, 1), at(200, 0, 2), at(200, 1, 2))
	b.send(message{at: 201, time: 193, device: "m", offset: 9, value: 3}) // the watermark is 198
	b.check("100 a=1 b=1", "200 a=2 b=2")
	b.send(message{at: 201, time: 192, device: "m", offset: 10, value: 4})
	if got := b.said; len(got) != 1 || rank(got[0]) != 1 {
		t.Errorf("got %q, want one late row", got)
	}
}

func TestLastKnownValuesComeAtOnceAndGrowOld(t *testing.T) {
	b := newBench(t, 2, align(t, values(2), Last))
	b.send(at(100, 0, 1), at(101, 1, 2), at(102, 0, 3))
	b.check("100 a=1", "101 a=1 b=2", "102 a=3 b=2")
	b.send(at(107, 1, 4), at(113, 0, 5))
	b.check("107 a=3 b=4", "113 a=5")
	b.send(message{at: 114, time: 103, device: "m", stream: 0, offset: 5, value: 6}, at(114, 1, 7))
	b.check("103 a=6 b=4", "114 a=5 b=7") // an old row is not the last
}

func TestEveryPairComesOutOnce(t *testing.T) {
	b := newBench(t, 2, pairs(t, values(2), Outer))
	b.send(at(100, 0, 1), at(104, 0, 2), at(105, 1, 3), at(110, 1, 4), at(111, 0, 5))
	b.check("105 a=1 b=3", "105 a=2 b=3", "111 a=5 b=4")
	b.send(at(200, 1, 6), at(200, 0, 7), at(300, 0, 8), at(300, 1, 9))
	b.check("200 a=7 b=6", "300 a=8 b=9")
	b.send(at(400, 0, 10))
	b.pass(1000)
	b.check("400 a=10")
}

func TestPairsOfOneMessageHaveTheirOwnOrdinals(t *testing.T) {
	b := newBench(t, 2, pairs(t, values(2), Inner))
	b.send(at(100, 0, 1), at(101, 0, 2), at(102, 1, 3))
	if len(b.said) != 2 || !strings.Contains(b.said[0], " 1021/1073741824 ") || !strings.Contains(b.said[1], " 1021/1073741825 ") {
		t.Errorf("got %q", b.said)
	}
}

func TestAKeyHasAtMostRowsMaxWaiting(t *testing.T) {
	c := values(2)
	c.RowsMax = 2
	for name, build := range map[string]func(*pipeline.Keys) stage{"align": align(t, c, Inner), "join": pairs(t, c, Inner)} {
		b := newBench(t, 2, build)
		b.send(at(100, 0, 1), at(101, 0, 2))
		b.check()
		b.send(at(102, 0, 3))
		if len(b.said) != 1 || !strings.Contains(b.said[0], `dead 1020 key "m" has 2 rows waiting, the most is 2`) {
			t.Errorf("%s: got %q", name, b.said)
		}
	}
}

func TestResultsComeOutAsFarBehindAsTheStageHoldsThem(t *testing.T) {
	b := newBench(t, 2, align(t, values(2), Outer))
	b.send(at(100, 0, 1), at(100, 1, 1), at(106, 0, 1), at(106, 1, 1))
	if want := "106 mark 99 "; len(b.said) != 2 || !strings.HasPrefix(b.said[1], want) {
		t.Errorf("got %q, want %s: the watermark 104 less 5", b.said, want)
	}
	b.said = nil
	b.send(at(107, 0, 1), at(200, 0, 1), at(200, 1, 1))
	if want := "107 mark 107 "; len(b.said) != 2 || !strings.HasPrefix(b.said[0], want) {
		t.Errorf("got %q, want %s: a row that leaves is not late although the watermark has gone far beyond", b.said, want)
	}
	if got := b.stage.Delay(); got != 5 {
		t.Errorf("got delay %d, want 5", got)
	}
	if got := newBench(t, 2, align(t, values(2), Last)).stage.Delay(); got != 0 {
		t.Errorf("last: got delay %d, want 0", got)
	}
}

func TestARowOfNoStreamIsADeadLetter(t *testing.T) {
	c := values(3)
	b := newBench(t, 3, pairs(t, Config{Stage: "join", Streams: c.Streams[:2], Within: 5, RowsMax: 9, Shared: c.Shared}, Inner))
	b.send(at(100, 2, 1))
	if len(b.said) != 1 || !strings.Contains(b.said[0], "none of the streams a, b") {
		t.Errorf("got %q", b.said)
	}
}

func TestWhatCannotBeBuiltIsRefused(t *testing.T) {
	good := values(2)
	for name, change := range map[string]func(*Config){
		"wants two streams":       func(c *Config) { c.Streams = c.Streams[:1] },
		"a time and rows above 0": func(c *Config) { c.Within = 0 },
		`no column "nobody"`:      func(c *Config) { c.Shared = []string{"nobody"} },
		`no column "a.nothing"`:   func(c *Config) { c.Columns = []Column{{"a", "nothing"}} },
	} {
		c := good
		change(&c)
		if _, err := NewAlign(c, Inner, inputs, pipeline.NewKeys(1)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
	if _, err := NewJoin(good, Inner, inputs[:1], pipeline.NewKeys(1)); err == nil || !strings.Contains(err.Error(), "no column stream") {
		t.Errorf("got %v", err)
	}
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	r := seeded(t)
	open := values(2)
	open.Open = true
	for _, build := range []func(*pipeline.Keys) stage{align(t, open, Outer), pairs(t, values(2), Outer)} {
		b := newBench(t, 2, build)
		b.send(at(100, 0, 1), at(101, 0, 2), at(102, 1, 3), at(103, 0, 3))
		whole, err := b.stage.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(whole) {
			if err := build(pipeline.NewKeys(9)).Restore(whole[:n]); err == nil {
				t.Errorf("%d of %d bytes were taken for a snapshot", n, len(whole))
			}
		}
		for range 3000 { // it may be taken, but nothing breaks
			damaged := slices.Clone(whole)
			damaged[r.IntN(len(damaged))] ^= byte(1 << r.IntN(8))
			build(pipeline.NewKeys(9)).Restore(damaged)
		}
		if err := b.stage.Restore(whole); err == nil {
			t.Error("a stage that has rows took a snapshot")
		}
		other := values(2)
		other.Within = 6
		if err := align(t, other, Outer)(pipeline.NewKeys(9)).Restore(whole); err == nil {
			t.Error("a stage with another time took the snapshot")
		}
	}
}

func TestRowsThatWaitAllocateNothingOnceTheirMemoryIsThere(t *testing.T) {
	b := newBench(t, 2, align(t, values(2), Inner))
	now := int64(1000)
	var out pipeline.Outputs
	streams := []uint8{0, 1}
	work := func() {
		now += 10
		b.batch.Reset()
		for s := range streams {
			code, _ := b.keys.Code([]byte("m"))
			b.batch.AppendRow(pipeline.Row{Time: now, Arrived: now, Key: code, Offset: uint64(now)})
			c := b.batch.Columns
			c[0].AppendText([]byte("m"))
			c[1].AppendText([]byte(names[s]))
			c[2].AppendFloat(1)
			c[3].AppendText(nil)
			c[4].AppendBool(true)
			c[5].AppendInt(1)
		}
		b.marks.ObserveStreams(b.batch, streams)
		if err := b.stage.Process(b.batch, &out); err != nil || out.Main == nil || out.Main.Rows() != 1 {
			t.Fatalf("got %v and %v, want one row", err, out.Main)
		}
	}
	for range 100 {
		work()
	}
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
