package node

import (
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/join"
	"millrace.dev/millrace/pipeline/topics"
)

// streamTopicsMax is how many topics are remembered with their stream. When
// they are that many, remembering begins anew.
const streamTopicsMax = 8192

var streamField = pipeline.Field{Name: join.StreamColumn, Kind: pipeline.Text}

// streams tell which stream each row of a pipeline is of.
type streams struct {
	names   []string
	filters []*topics.Filter
	known   map[string]uint8 // by topic
	of      []uint8          // by row of the batch at hand
	column  pipeline.Column
	at      int // where the column stands: behind those that all batches have
}

func newStreams(names []string, filters []*topics.Filter, at int) *streams {
	return &streams{names: names, filters: filters, known: map[string]uint8{}, column: pipeline.NewColumn(streamField), at: at}
}

// put adds the column to a batch that was decoded from recs.
func (s *streams) put(b *pipeline.Batch, recs []journal.Record) {
	s.of = s.of[:0]
	s.column.Reset()
	for _, offset := range b.Offset {
		for recs[0].Offset != offset {
			recs = recs[1:] // its message is a dead letter, or has no more rows
		}
		n := s.stream(recs[0].Topic)
		s.of = append(s.of, n)
		s.column.AppendText([]byte(s.names[n]))
	}
	b.Columns = append(b.Columns, pipeline.Column{})
	copy(b.Columns[s.at+1:], b.Columns[s.at:])
	b.Columns[s.at] = s.column
}

// take takes the column out again: the decoder does not know it.
func (s *streams) take(b *pipeline.Batch) {
	s.column = b.Columns[s.at]
	copy(b.Columns[s.at:], b.Columns[s.at+1:])
	b.Columns = b.Columns[:len(b.Columns)-1]
}

func (s *streams) stream(topic []byte) uint8 {
	if n, ok := s.known[string(topic)]; ok {
		return n
	}
	name := string(topic)
	for n, f := range s.filters {
		if f.Match(name) {
			if len(s.known) >= streamTopicsMax {
				clear(s.known)
			}
			s.known[name] = uint8(n)
			return uint8(n)
		}
	}
	panic("BUG: a message of no stream: " + name)
}
