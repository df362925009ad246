package pipeline

// A WindowKind is what a window goes by.
type WindowKind uint8

// The kinds of windows.
const (
	Tumbling WindowKind = iota // stretches of event time, side by side
	Hopping                    // stretches of event time that begin every so often
	Sliding                    // the time before each row
	Session                    // rows with no silence between them
	Counted                    // so many rows
)

// A Window is a rule that cuts the rows of a key into stretches.
type Window struct {
	Kind  WindowKind
	Size  int64 // µs; Session: the silence that ends one; Counted: rows
	Every int64 // Hopping, Counted: from one begin to the next, at most Size; else 0

	// Early makes open windows speak each time the watermark passes a multiple
	// of it, µs; 0: they do not. For Tumbling, Hopping and Session.
	Early int64
	// Correct keeps windows that have spoken for so long, µs, and lets them
	// speak again at each straggler; 0: stragglers are late. For Tumbling and Hopping.
	Correct int64

	PanesMax int // the most panes a key may have open
}

// Pane returns how much a pane holds, µs or rows. Windows that overlap share
// their panes, so that a row is added once however many windows it is in:
// J. Li, D. Maier, K. Tufte, V. Papadimos, P. Tucker, No pane, no gain, SIGMOD
// Record 34 (2005).
func (w *Window) Pane() int64 {
	a, b := w.Size, w.Every
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Panes returns how many panes make up a window.
func (w *Window) Panes() int64 { return w.Size / w.Pane() }

// Shared tells whether windows share panes.
func (w *Window) Shared() bool { return w.Kind == Sliding || w.Every != 0 && w.Every != w.Size }
