// Package script runs the tests that stand beside a configuration: a text
// archive that says which messages come in at what time, and what is to come
// out. Time is virtual; a test of a day takes milliseconds.
//
//	# A window speaks once, when the watermark passes its end.
//	-- in --
//	0s..9s/1s  m1/temp {"ts":$ms,"temp":20}
//	10s        m1/temp {"ts":$ms,"temp":21}
//	-- out --
//	10s mean/m1 {"time":"2026-01-01T00:00:10Z","device":"m1","mean":20}
//	-- late --
//	-- dead --
//
// Second 0 is the beginning of 2026, UTC. In payloads $ms, $s, $us and $rfc3339 stand for the time
// of the line. A line with a time alone lets time pass. Sections late and
// dead may be left out when nothing is to be there.
package script

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"millrace.dev/millrace/functions"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/node"
	"millrace.dev/millrace/pipeline"
)

// epoch is the time 0s of every script.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A Failure says how what came out differs from what the script wants.
type Failure struct {
	Script string
	Diff   string
}

// Error names the script and shows the difference.
func (f *Failure) Error() string { return f.Script + "\n" + f.Diff }

// Traffic is how many bytes of topics and payloads came in, and how many the
// sinks of to: were given. A message counts once, however many pipelines take it.
type Traffic struct{ In, Out int }

// Run runs the script at path against the configuration f. With update it
// writes what came out into the script instead of comparing.
func Run(ctx context.Context, f *config.File, rt *functions.Runtime, path string, update bool) (Traffic, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return Traffic{}, err
	}
	s, err := parse(src)
	if err != nil {
		return Traffic{}, fmt.Errorf("%s: %w", path, err)
	}
	w, err := newWorld(ctx, f, rt, s.pipeline)
	if err != nil {
		return Traffic{}, err
	}
	defer w.close(ctx)
	if err := w.play(s.events); err != nil {
		return w.traffic, fmt.Errorf("%s: %w", path, err)
	}
	if update {
		return w.traffic, os.WriteFile(path, rewrite(s, w.got), 0o644)
	}
	return w.traffic, w.compare(s, path)
}

// compare returns a Failure if what came out is not what the script wants.
func (w *world) compare(s *script, path string) error {
	var diff strings.Builder
	for _, section := range outSections {
		difference(&diff, section, w.got[section], s.want[section])
	}
	if diff.Len() > 0 {
		return &Failure{path, diff.String()}
	}
	return nil
}

// A world is the pipelines of a file under virtual time.
type world struct {
	pipes  []*node.Pipeline
	trees  []*node.Tree
	got    map[string][]string
	now    time.Duration
	offset uint64
	queue  []journal.Record // published by pipelines, not yet processed

	traffic Traffic
}

func newWorld(ctx context.Context, f *config.File, rt *functions.Runtime, only string) (*world, error) {
	pipes, err := node.Compile(ctx, f, rt)
	if err != nil {
		return nil, err
	}
	w := &world{pipes: pipes, got: map[string][]string{}}
	wanted := map[string]bool{}
	for p := f.Pipeline(only); p != nil; p = f.Pipeline(p.From.Pipeline) {
		wanted[p.Name] = true
	}
	if only != "" && len(wanted) == 0 {
		w.close(ctx)
		return nil, fmt.Errorf("%s has no pipeline %q", f.Path, only)
	}
	var with []*node.Pipeline
	for _, p := range pipes {
		if only == "" || wanted[p.Config.Name] {
			with = append(with, p)
		}
	}
	w.trees, err = node.Trees(with, func(p *node.Pipeline) (pipeline.Results, error) {
		if only != "" && p.Config.Name != only {
			return silence{}, nil // it is there for those that read it
		}
		return newResults(w, f, p)
	})
	return w, err
}

func (w *world) close(ctx context.Context) {
	for _, p := range w.pipes {
		p.Close(ctx)
	}
}

func (w *world) play(events []event) error {
	if !slices.IsSortedFunc(events, func(a, b event) int { return int(a.at - b.at) }) {
		slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	}
	for _, e := range events {
		if e.at > w.now || e.topic == "" {
			w.now = e.at
			if err := w.advance(); err != nil {
				return err
			}
		}
		if e.topic != "" {
			payload := substitute(e.payload, e.at)
			w.traffic.In += len(e.topic) + len(payload)
			w.publish(e.topic, payload, 0)
			if err := w.settle(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) advance() error {
	for _, t := range w.trees {
		t.Advance(micros(w.now))
		if err := failed(t); err != nil {
			return err
		}
	}
	return w.settle()
}

func (w *world) publish(topic, payload string, hop uint8) {
	w.offset++
	w.queue = append(w.queue, journal.Record{
		Offset: w.offset, Arrived: micros(w.now), Hop: hop, Topic: []byte(topic), Payload: []byte(payload),
	})
}

// settle processes what was published until nothing more is.
func (w *world) settle() error {
	for len(w.queue) > 0 {
		rec := w.queue[0]
		w.queue = w.queue[1:]
		for _, t := range w.trees {
			if !matches(t.Pipeline, string(rec.Topic)) {
				continue
			}
			t.Process([]journal.Record{rec})
			if err := failed(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// failed returns why a pipeline of the tree stopped, if one did.
func failed(t *node.Tree) error {
	var err error
	t.All(func(t *node.Tree) { err = cmp.Or(err, t.Failed()) })
	return err
}

func matches(p *node.Pipeline, topic string) bool {
	for _, f := range p.Filters {
		if f.Match(topic) {
			return true
		}
	}
	return false
}

func (w *world) say(section, format string, args ...any) {
	w.got[section] = append(w.got[section], fmt.Sprintf(format, args...))
}

// micros returns the time d after epoch, in µs since 1970.
func micros(d time.Duration) int64 { return epoch.Add(d).UnixMicro() }

// since prints a time in µs as the duration since epoch.
func since(at int64) string { return time.UnixMicro(at).Sub(epoch).String() }

func substitute(payload string, at time.Duration) string {
	t := epoch.Add(at)
	return strings.NewReplacer(
		"$ms", strconv.FormatInt(t.UnixMilli(), 10), "$us", strconv.FormatInt(t.UnixMicro(), 10),
		"$s", strconv.FormatInt(t.Unix(), 10), "$rfc3339", t.Format(time.RFC3339Nano),
	).Replace(payload)
}

// difference tells what a section has and lacks, in the order of a reader.
func difference(dst *strings.Builder, section string, got, want []string) {
	if slices.Equal(got, want) {
		return
	}
	fmt.Fprintf(dst, "-- %s -- differs: %d lines came out, %d are wanted\n", section, len(got), len(want))
	missing := slices.Clone(want)
	for _, line := range got {
		if i := slices.Index(missing, line); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
		} else {
			fmt.Fprintf(dst, "  came out, not wanted:  %s\n", line)
		}
	}
	for _, line := range missing {
		fmt.Fprintf(dst, "  wanted, did not come:  %s\n", line)
	}
	if len(got) == len(want) && len(missing) == 0 {
		dst.WriteString("  the same lines in another order:\n    " + strings.Join(got, "\n    ") + "\n")
	}
}

// rewrite returns the script with what came out in place of what was wanted.
func rewrite(s *script, got map[string][]string) []byte {
	a := &txtar.Archive{Comment: s.archive.Comment}
	for _, f := range s.archive.Files {
		if f.Name == "in" {
			a.Files = append(a.Files, f)
		}
	}
	for _, section := range outSections {
		if len(got[section]) == 0 && section != "out" {
			continue
		}
		var b bytes.Buffer
		for _, line := range got[section] {
			b.WriteString(line + "\n")
		}
		a.Files = append(a.Files, txtar.File{Name: section, Data: b.Bytes()})
	}
	return txtar.Format(a)
}

var _ pipeline.Results = (*results)(nil)
