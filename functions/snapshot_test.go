package functions

import (
	"bytes"
	"context"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// fed returns a stage of texts that has seen some rows.
func fed(t testing.TB, m *Module, keys *pipeline.Keys) *Stage {
	t.Helper()
	s := bind(t, m, Binding{}, everything, keys)
	var out pipeline.Outputs
	if err := s.Process(randomBatch(seeded(t), keys, 50), &out); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASnapshotIsForOneVersionOfTheState(t *testing.T) {
	rt := newRuntime(t, Options{})
	m := loadGuest(t, rt, "texts")
	snapshot, err := fed(t, m, pipeline.NewKeys(10)).Snapshot([]byte("before"))
	if err != nil || !bytes.HasPrefix(snapshot, []byte("before")) {
		t.Fatal(err, "or what was there is gone")
	}
	snapshot = snapshot[len("before"):]
	raw := bind(t, loadGuest(t, rt, "texts-raw"), Binding{}, everything, pipeline.NewKeys(10))
	if err := raw.Restore(snapshot); err != nil {
		t.Errorf("another module with the same state_version: %v", err)
	}
	again, err := raw.Snapshot(nil)
	if err != nil || len(again) != len(snapshot) || bytes.Equal(again, snapshot) {
		t.Errorf("got %d bytes, want %d that differ in the hash: %v", len(again), len(snapshot), err)
	}
	second := bind(t, loadGuest(t, rt, "texts-2"), Binding{}, everything, pipeline.NewKeys(10))
	checkError(t, second.Restore(snapshot), "function texts-2: the snapshot has state_version 1, the module 2", "hint:")
	zscore := bind(t, load(t, rt, "zscore"), Binding{}, readings, pipeline.NewKeys(10))
	checkError(t, zscore.Restore(snapshot), "slots of 16 bytes, the module of 48")
	few := bind(t, m, Binding{}, everything, pipeline.NewKeys(3))
	checkError(t, few.Restore(snapshot), "more keys than may be: the most is 3")
	checkError(t, raw.Restore(snapshot), "the stage is not new")
}

func TestAWindowsSnapshotIsForItsShape(t *testing.T) {
	rt := newRuntime(t, Options{})
	keys := pipeline.NewKeys(100)
	w := newWindow(t, rt, keys, "mean")
	var out pipeline.Outputs
	if err := w.Process(benchBatch(keys, 256), &out); err != nil {
		t.Fatal(err)
	}
	snapshot, err := w.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ops := range [][]string{{"max"}, {"mean", "count"}} {
		checkError(t, newWindow(t, rt, pipeline.NewKeys(100), ops...).Restore(snapshot), "another size, columns or aggregates", "hint:")
	}
	checkError(t, newWindow(t, rt, pipeline.NewKeys(5), "mean").Restore(snapshot), "more keys than may be")
	if err := newWindow(t, rt, pipeline.NewKeys(100), "mean").Restore(snapshot); err != nil {
		t.Error(err)
	}
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, goOptions(t))
	texts := loadGuest(t, rt, "texts")
	keys := pipeline.NewKeys(100)
	w := newWindow(t, rt, keys, "mean")
	var out pipeline.Outputs
	if err := w.Process(benchBatch(keys, 256), &out); err != nil {
		t.Fatal(err)
	}
	goGuest := goModule(t, rt, stateMemory)
	for name, c := range map[string]struct {
		of    pipeline.Snapshotter
		fresh func() (pipeline.Snapshotter, *Stage)
	}{
		"slots": {fed(t, texts, pipeline.NewKeys(10)), func() (pipeline.Snapshotter, *Stage) {
			s := bind(t, texts, Binding{}, everything, pipeline.NewKeys(10))
			return s, s
		}},
		"window": {w, func() (pipeline.Snapshotter, *Stage) {
			s := newWindow(t, rt, pipeline.NewKeys(100), "mean")
			return s, &s.Stage
		}},
		"memory": {bind(t, goGuest, Binding{}, readings, keys), func() (pipeline.Snapshotter, *Stage) { s := bind(t, goGuest, Binding{}, readings, keys); return s, s }},
	} {
		whole, err := c.of.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			fresh, stage := c.fresh()
			if err := fresh.Restore(whole[:r.IntN(len(whole))]); err == nil {
				t.Errorf("%s: a torn snapshot was taken", name)
			}
			stage.Close(t.Context())
		}
		fresh, stage := c.fresh()
		checkError(t, fresh.Restore(append(bytes.Clone(whole), 0)), "damaged", "1 bytes too many")
		stage.Close(t.Context())
		for range 8 { // whatever it says, it may not crash
			bad := bytes.Clone(whole)
			for range 1 + r.IntN(3) {
				bad[r.IntN(min(len(bad), 300))] ^= byte(1 + r.UintN(255))
			}
			fresh, stage := c.fresh()
			_ = fresh.Restore(bad)
			stage.Close(t.Context())
		}
	}
}

func TestAClosedStageSaysSo(t *testing.T) {
	rt := newRuntime(t, Options{})
	keys := pipeline.NewKeys(100)
	s := bind(t, load(t, rt, "threshold"), Binding{With: map[string]float64{"above": 1}}, readings, keys)
	w := newWindow(t, rt, keys, "mean")
	for _, stage := range []interface {
		pipeline.Stage
		pipeline.Advancer
		pipeline.Snapshotter
		Close(context.Context) error
	}{s, w} {
		for range 2 {
			if err := stage.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		var out pipeline.Outputs
		checkError(t, stage.Process(benchBatch(keys, 5), &out), "closed")
		checkError(t, stage.Advance(&pipeline.Marks{}, &out), "closed")
		_, err := stage.Snapshot(nil)
		checkError(t, err, "closed")
		checkError(t, stage.Restore(nil), "closed")
	}
}
