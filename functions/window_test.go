package functions

import (
	"testing"

	"millrace.dev/millrace/pipeline"
)

func TestAWindowSaysWhatIsWrong(t *testing.T) {
	r := newRuntime(t, Options{})
	plain := pipeline.Window{Size: 10, PanesMax: 10}
	mean := Aggregate{Name: "m", Op: "mean", Column: "value"}
	for _, c := range []struct {
		w    pipeline.Window
		a    Aggregate
		want string
	}{
		{plain, Aggregate{Name: "m", Op: "mean", Column: "vlaue"}, `m: there is no column "vlaue"` + "\n\thint: did you mean \"value\"?"},
		{plain, Aggregate{Name: "m", Op: "mode", Column: "vlaue"}, `did you mean "value"?`},
		{plain, Aggregate{Name: "m", Op: "mean", Column: "device"}, "column device is text, and this aggregate takes numbers\n\thint: count, distinct, mode and top"},
		{plain, Aggregate{Name: "m", Op: "maen", Column: "value"}, `unknown aggregate "maen"`},
		{plain, Aggregate{Name: "line", Op: "mean", Column: "value"}, "two result columns are called line"},
		{plain, Aggregate{Name: "m", Op: "quantile", Column: "value", Arg: 2}, "a quantile is from 0 to 1"},
		{plain, Aggregate{Name: "m", Op: "rate", Column: "value"}, "a unit of time is above 0"},
		{plain, Aggregate{Name: "m", Op: "top", Column: "value", Arg: 11}, "top of 11 values: want 1 to 10"},
		{plain, Aggregate{Name: "m", Op: "top", Column: "value", Arg: 1.5}, "top of 1.5 values: want 1 to 10"},
		{pipeline.Window{}, mean, "wants a size"},
		{pipeline.Window{Kind: pipeline.Hopping, Size: 10, PanesMax: 10}, mean, "every 0: want more than 0"},
		{pipeline.Window{Kind: pipeline.Hopping, Size: 10, Every: 11, PanesMax: 10}, mean, "at most the size, 10"},
		{pipeline.Window{Kind: pipeline.Hopping, Size: 11, Every: 10, PanesMax: 10}, mean, "11 panes of a key, the most is 10"},
		{pipeline.Window{Size: 10, Every: 5, PanesMax: 10}, mean, "of a window that overlaps"},
		{pipeline.Window{Kind: pipeline.Sliding, Size: 10, Early: 1, PanesMax: 10}, mean, "sliding and counted windows do not speak early"},
		{pipeline.Window{Kind: pipeline.Session, Size: 10, Correct: 1, PanesMax: 10}, mean, "only tumbling and hopping windows are corrected"},
	} {
		cfg := WindowConfig{Window: c.w, Key: []string{"line"}, Aggregates: []Aggregate{c.a}}
		_, err := r.NewWindow(t.Context(), cfg, readings, pipeline.NewKeys(2))
		checkError(t, err, "window: ", c.want)
	}
	_, err := r.NewWindow(t.Context(), WindowConfig{}, readings, pipeline.NewKeys(2))
	checkError(t, err, "window: wants a size")
}
