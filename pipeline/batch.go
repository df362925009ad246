package pipeline

// RowsMax is the most rows a batch has when it enters a pipeline. Stages may
// put out more (a window that closes many panes at once).
const RowsMax = 256

// A Batch is a table of messages: one row a message, one column a field.
// All slices below have one element a row.
type Batch struct {
	Time    []int64  // event time, µs since 1970, UTC
	Arrived []int64  // when the node got it, same unit
	Mark    []int64  // the watermark of the row's source once this row is counted
	Key     []uint32 // codes in Keys; they never leave the pipeline
	Offset  []uint64 // the place in the journal of the message the row comes from
	Ordinal []uint32 // tells apart rows that come from one message
	Hop     []uint8  // how many pipelines of ours the row has been through
	Columns []Column
	Keys    *Keys // the dictionary of Key
}

// NewBatch returns an empty batch with the columns of s.
func NewBatch(s Schema, keys *Keys) *Batch {
	b := &Batch{Keys: keys}
	for _, f := range s {
		b.Columns = append(b.Columns, NewColumn(f))
	}
	return b
}

// Rows returns the number of rows.
func (b *Batch) Rows() int { return len(b.Time) }

// Schema returns the fields of the columns.
func (b *Batch) Schema() Schema {
	s := make(Schema, len(b.Columns))
	for i := range b.Columns {
		s[i] = b.Columns[i].Field
	}
	return s
}

// Column returns the column called name that has a value in row i, or nil. A
// batch whose payloads disagree on a field's kind has a column for each kind.
func (b *Batch) Column(name string, i int) *Column {
	for k := range b.Columns {
		if c := &b.Columns[k]; c.Name == name && c.Has(i) {
			return c
		}
	}
	return nil
}

// Reset drops all rows and keeps columns and memory.
func (b *Batch) Reset() {
	b.truncateMeta(0)
	for i := range b.Columns {
		b.Columns[i].Reset()
	}
}

func (b *Batch) truncateMeta(n int) {
	b.Time, b.Arrived, b.Mark, b.Key = b.Time[:n], b.Arrived[:n], b.Mark[:n], b.Key[:n]
	b.Offset, b.Ordinal, b.Hop = b.Offset[:n], b.Ordinal[:n], b.Hop[:n]
}

// Truncate drops every row from n on.
func (b *Batch) Truncate(n int) {
	b.truncateMeta(n)
	for i := range b.Columns {
		b.Columns[i].truncate(n)
	}
}

// Row is what a row carries besides its columns.
type Row struct {
	Time, Arrived, Mark int64
	Key                 uint32
	Offset              uint64
	Ordinal             uint32
	Hop                 uint8
}

// Row returns what row i carries besides its columns.
func (b *Batch) Row(i int) Row {
	return Row{b.Time[i], b.Arrived[i], b.Mark[i], b.Key[i], b.Offset[i], b.Ordinal[i], b.Hop[i]}
}

// AppendRow adds a row; the caller then appends one value to every column.
func (b *Batch) AppendRow(r Row) {
	b.Time = append(b.Time, r.Time)
	b.Arrived = append(b.Arrived, r.Arrived)
	b.Mark = append(b.Mark, r.Mark)
	b.Key = append(b.Key, r.Key)
	b.Offset = append(b.Offset, r.Offset)
	b.Ordinal = append(b.Ordinal, r.Ordinal)
	b.Hop = append(b.Hop, r.Hop)
}

// AppendFrom adds row i of src, a batch with the same columns.
func (b *Batch) AppendFrom(src *Batch, i int) {
	b.AppendRow(src.Row(i))
	for k := range b.Columns {
		b.Columns[k].AppendFrom(&src.Columns[k], i)
	}
}

// CopyFrom makes b equal to src; it shares nothing with it but the key dictionary.
func (b *Batch) CopyFrom(src *Batch) {
	b.Keys = src.Keys
	b.Time = append(b.Time[:0], src.Time...)
	b.Arrived = append(b.Arrived[:0], src.Arrived...)
	b.Mark = append(b.Mark[:0], src.Mark...)
	b.Key = append(b.Key[:0], src.Key...)
	b.Offset = append(b.Offset[:0], src.Offset...)
	b.Ordinal = append(b.Ordinal[:0], src.Ordinal...)
	b.Hop = append(b.Hop[:0], src.Hop...)
	for len(b.Columns) < len(src.Columns) {
		b.Columns = append(b.Columns, Column{})
	}
	b.Columns = b.Columns[:len(src.Columns)]
	for i := range src.Columns {
		b.Columns[i].CopyFrom(&src.Columns[i])
	}
}

// Take keeps the rows listed, in ascending order, and drops the others.
func (b *Batch) Take(rows []int32) {
	if len(rows) == b.Rows() {
		return
	}
	for to, from := range rows {
		b.Time[to], b.Arrived[to], b.Mark[to], b.Key[to] = b.Time[from], b.Arrived[from], b.Mark[from], b.Key[from]
		b.Offset[to], b.Ordinal[to], b.Hop[to] = b.Offset[from], b.Ordinal[from], b.Hop[from]
	}
	b.truncateMeta(len(rows))
	for i := range b.Columns {
		b.Columns[i].take(rows)
	}
}
