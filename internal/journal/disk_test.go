package journal

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var damages = flag.Int("damages", 300, "times that a journal is damaged")

func smallDisk(t *testing.T, dir string) *Disk {
	t.Helper()
	d, err := Open(dir, Options{Commit: time.Millisecond, SegmentBytes: 64 << 10, Space: 16 << 20, RouteKept: 0xff00, RouteAsk: 1 << 31})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// message returns what is known by its offset alone.
func message(n uint64) Record {
	return Record{
		Arrived: int64(n) * 1000, Route: uint32(n%256) << 8, Keep: Durable, Hop: uint8(n % 3), Tick: n%7 == 0,
		Topic: fmt.Appendf(nil, "t/%d", n%5), Payload: bytes.Repeat([]byte{byte(n)}, int(n*37%900)),
	}
}

func appendMessages(t *testing.T, d *Disk, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		if got, err := d.Append(t.Context(), message(n)); err != nil || got != n {
			t.Fatalf("got offset %d, %v, want %d", got, err, n)
		}
	}
}

func commit(t *testing.T, d *Disk) {
	t.Helper()
	if err := d.Sync(t.Context(), d.Last()); err != nil {
		t.Fatal(err)
	}
}

// readMessages reads to the end of a sealed journal and returns the offsets.
func readMessages(t *testing.T, d *Disk, from uint64) []uint64 {
	t.Helper()
	d.Seal()
	var all []uint64
	r := d.Read(from)
	for {
		got, err := r.Next(t.Context(), nil, 100)
		if errors.Is(err, ErrClosed) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got {
			want := message(m.Offset)
			if m.Arrived != want.Arrived || m.Route&0xff00 != want.Route || m.Hop != want.Hop || m.Tick != want.Tick || m.Keep != Durable ||
				!bytes.Equal(m.Topic, want.Topic) || !bytes.Equal(m.Payload, want.Payload) {
				t.Fatalf("message %d is not what was appended: %+v", m.Offset, m)
			}
			all = append(all, m.Offset)
		}
		r.Release(got[len(got)-1].Offset)
	}
}

func upTo(from, to uint64) (all []uint64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func TestWhatIsCommittedIsThereAgain(t *testing.T) {
	dir := t.TempDir()
	next := uint64(1)
	for life := range 5 {
		d := smallDisk(t, dir)
		if d.Next() != next {
			t.Fatalf("life %d: the next offset is %d, want %d", life, d.Next(), next)
		}
		appendMessages(t, d, next, next+299)
		next += 300
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d := smallDisk(t, dir)
	if got := readMessages(t, d, 0); !slices.Equal(got, upTo(1, next-1)) {
		t.Errorf("got %d messages, want %d", len(got), next-1)
	}
	if got := d.Recovered(); got.Lost != 0 || got.Torn != 0 {
		t.Errorf("got %+v, and nothing was damaged", got)
	}
}

func TestAReaderGoesFromDiskToMemoryWithoutAGap(t *testing.T) {
	dir := t.TempDir()
	d := smallDisk(t, dir)
	appendMessages(t, d, 1, 500)
	d.Close()
	d = smallDisk(t, dir)
	r := d.Read(123)
	go func() {
		for n := uint64(501); n <= 900; n++ {
			d.Append(context.Background(), message(n))
		}
		d.Seal()
	}()
	want := uint64(123)
	for {
		got, err := r.Next(t.Context(), nil, 7)
		if errors.Is(err, ErrClosed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got {
			if m.Offset != want {
				t.Fatalf("got %d, want %d", m.Offset, want)
			}
			if m.Offset < 501 && m.Route>>31 == 0 {
				t.Fatalf("the route of %d does not ask", m.Offset)
			}
			want++
		}
		r.Release(want - 1)
	}
	if want != 901 {
		t.Errorf("the last one was %d, want 900", want-1)
	}
}

// entriesOf returns the bodies of a stream.
func entriesOf(t *testing.T, d *Disk, name string) (all []string) {
	t.Helper()
	err := d.Entries(Checkpoint, name, func(_ Position, body []byte) error {
		all = append(all, fmt.Sprintf("%.4s:%d", body, len(body)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEntriesBeginWithTheLatestWholeOne(t *testing.T) {
	dir := t.TempDir()
	d := smallDisk(t, dir)
	put := func(name, body string, bytes int, whole bool) {
		t.Helper()
		b := append([]byte(body), make([]byte, bytes)...)
		if _, _, err := d.Put(Entry{Kind: Checkpoint, Name: name, Whole: whole, Body: b}); err != nil {
			t.Fatal(err)
		}
		appendMessages(t, d, d.Next(), d.Next()+20)
	}
	put("a", "one ", 0, true)
	put("b", "one ", 200_000, true) // over several segments
	put("a", "two ", 10, false)
	put("a", "thre", 70_000, true)
	put("a", "four", 10, false)
	put("c", "one ", 10, true)
	d.Put(Entry{Kind: Checkpoint, Name: "c", Gone: true})
	d.Close()
	d = smallDisk(t, dir)
	if got := fmt.Sprint(entriesOf(t, d, "a"), entriesOf(t, d, "b"), entriesOf(t, d, "c"), d.Names(Checkpoint)); got != "[thre:70004 four:14] [one :200004] [] [a b]" {
		t.Errorf("got %s", got)
	}
	r := d.Follow(Checkpoint, "a", 0)
	defer r.Close()
	for _, want := range []string{"one ", "two ", "thre", "four", ""} {
		_, body, err := r.Next()
		if want == "" && err == io.EOF {
			continue
		}
		if err != nil || string(body[:4]) != want {
			t.Fatalf("got %.4q, %v, want %q", body, err, want)
		}
	}
	_, _, err := d.Put(Entry{Kind: Checkpoint, Name: "a", Body: []byte("five")})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, d)
	if _, body, err := r.Next(); err != nil || string(body) != "five" {
		t.Errorf("got %q, %v, want what was put since", body, err)
	}
}

func TestSpaceIsUsedAgainUnlessSomebodyNeedsIt(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir, Options{Commit: time.Millisecond, SegmentBytes: 64 << 10, Space: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.Need("me", 1, 0)
	r := d.Read(0)
	go func() {
		for {
			got, err := r.Next(context.Background(), nil, 100)
			if err != nil {
				return
			}
			r.Release(got[len(got)-1].Offset)
		}
	}()
	n := uint64(0)
	for {
		_, err := d.TryAppend(message(n + 1))
		if errors.Is(err, ErrFull) && d.Stats().Waiting == 0 {
			break
		}
		if err == nil {
			n++
		}
	}
	if _, _, err := d.Put(Entry{Kind: Checkpoint, Name: "state", Whole: true, Body: []byte("x")}); err != nil {
		t.Errorf("an entry finds no room beside messages: %v", err)
	}
	commit(t, d)
	d.Need("me", n+1, 0)
	for range 5000 {
		n++
		if _, err := d.Append(t.Context(), message(n)); err != nil {
			t.Fatal(err)
		}
		if n%100 == 0 {
			d.Need("me", n, 0)
			d.Put(Entry{Kind: Checkpoint, Name: "state", Whole: true, Body: []byte("x")})
		}
	}
	commit(t, d)
	if s := d.Stats(); s.Kept > 1<<20 {
		t.Errorf("%d bytes are kept, of 1 MiB", s.Kept)
	}
}

// copyDir copies a journal as a crash would leave it.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	names, err := filepath.Glob(filepath.Join(from, "*"+segmentExt))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestATornTailIsCutAndTheJournalGoesOn(t *testing.T) {
	dir := t.TempDir()
	d := smallDisk(t, dir)
	appendMessages(t, d, 1, 50)
	commit(t, d)
	end := int64(d.layout.chain)
	kept := copyDir(t, dir)
	appendMessages(t, d, 51, 60)
	d.Put(Entry{Kind: Checkpoint, Name: "x", Whole: true, Body: bytes.Repeat([]byte("x"), 3000)})
	commit(t, d)
	after := int64(d.layout.chain)
	full := copyDir(t, dir)
	name := filepath.Base(segmentPath(dir, 1))
	old, _ := os.ReadFile(filepath.Join(kept, name))
	all, _ := os.ReadFile(filepath.Join(full, name))
	for cut := end; cut < after; cut += 97 {
		torn := t.TempDir()
		b := append(slices.Clone(all[:cut]), old[cut:]...)
		if err := os.WriteFile(filepath.Join(torn, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // what was appended behind the cut is there the second time
			d := smallDisk(t, torn)
			if rec := d.Recovered(); rec.Lost != 0 {
				t.Fatalf("cut at %d: %+v, and nothing that was committed is lost", cut, rec)
			}
			if next := d.Next(); next < 51 {
				t.Fatalf("cut at %d: the next offset is %d", cut, next)
			}
			appendMessages(t, d, d.Next(), d.Next()+9)
			last := d.Next() - 1
			commit(t, d)
			if got := readMessages(t, d, 0); !slices.Equal(got, upTo(1, last)) {
				t.Fatalf("cut at %d: got %v, want 1 to %d", cut, got, last)
			}
			d.Close()
		}
	}
}

func TestDamageIsNeverSilent(t *testing.T) {
	dir := t.TempDir()
	d := smallDisk(t, dir)
	for range 40 {
		appendMessages(t, d, d.Next(), d.Next()+11)
		d.Put(Entry{Kind: Checkpoint, Name: "state", Body: fmt.Appendf(nil, "after %d", d.Next()-1)})
		commit(t, d)
	}
	last := d.Next() - 1
	d.Close()
	r := rand.New(rand.NewPCG(1, 2))
	for round := range *damages {
		broken := copyDir(t, dir)
		names, _ := filepath.Glob(filepath.Join(broken, "*"+segmentExt))
		name := names[r.IntN(len(names))]
		b, _ := os.ReadFile(name)
		at, n := r.IntN(len(b)), 1+r.IntN(5000)
		part := b[at:min(len(b), at+n)]
		switch how := r.IntN(4); how {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			clear(part)
		case 2:
			for i := range part {
				part[i] = byte(r.Uint32())
			}
		case 3:
			b = b[:at]
		}
		os.WriteFile(name, b, 0o600)
		d, err := Open(broken, Options{SegmentBytes: 64 << 10, Space: 16 << 20, RouteKept: 0xff00})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		told := map[uint64]bool{}
		rec := d.Recovered()
		for _, one := range rec.Damages {
			for n := one.First; n < one.Next; n++ {
				told[n] = true
			}
		}
		next := uint64(1)
		for _, n := range readMessages(t, d, 0) {
			for ; next < n; next++ {
				if !told[next] {
					t.Fatalf("round %d: %d is gone without a word: %+v", round, next, rec)
				}
			}
			next = n + 1
		}
		for ; next <= last; next++ { // the end may look as if it had never been committed, but must be told
			if !told[next] && rec.Torn == 0 && rec.Lost == 0 {
				t.Fatalf("round %d: %d is gone without a word: %+v", round, next, rec)
			}
		}
		d.Close()
	}
}
