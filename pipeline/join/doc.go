// Package join brings the streams of a pipeline together: Align makes one row
// of several, Join pairs two.
//
//	rows of all streams ─▶ wait, by key ─▶ rows with the columns temp.value, vib.rms …
//	                         │
//	                         └── the watermark has passed ──▶ what found no partner
//
// A row acts when it arrives, so that a pair comes out with the later of its
// two; the watermark, the least of the streams that are not idle, only says
// when nothing that could fit will come any more. Everything that waits is
// bounded by key.
package join

import (
	"fmt"

	"millrace.dev/millrace/pipeline"
)

// StreamColumn is the Text column that says which stream a row is of.
const StreamColumn = "stream"

// A Config is what Align and Join have in common.
type Config struct {
	Stage   string   // for dead letters
	Streams []string // the streams of the pipeline; of a Join, left and right
	Within  int64    // µs
	RowsMax int      // the most rows that wait for a key
	Shared  []string // columns that stay as they are: topic levels and the key
	Columns []Column // results, beside the shared ones
	Open    bool     // every other column of a row becomes a result too
}

// A Column is a column of one stream. Among the results it is called
// Stream.Field.
type Column struct{ Stream, Field string }

// Name returns the name among the results.
func (c Column) Name() string { return c.Stream + "." + c.Field }

// check finds what is wrong with the configuration.
func (c *Config) check(in pipeline.Schema) error {
	if c.Within <= 0 || c.RowsMax <= 0 || len(c.Streams) < 2 {
		return fmt.Errorf("wants two streams, a time and rows above 0")
	}
	if i := in.Index(StreamColumn); i < 0 || in[i].Kind != pipeline.Text {
		return fmt.Errorf("there is no column %s, which says the stream of a row", StreamColumn)
	}
	return nil
}
