package sinks

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace.dev/millrace/pipeline"
)

const (
	// PostgresTimeout is how long a statement may take unless said.
	PostgresTimeout = 10 * time.Second

	nameBytesMax = 63 // of a name in PostgreSQL (NAMEDATALEN - 1); what is longer it would cut
)

// PostgresConfig is what a PostgreSQL sink needs.
type PostgresConfig struct {
	URL      string // postgres://user@host:5432/database, or what else libpq takes
	Password string
	Table    string   // or schema.table
	Key      []string // columns that tell rows apart; the time by the name that Time gives it
	Fields   []string // columns; all unless said, and those of Key in any case
	Time     string   // the column of the event time; "time" unless said
	Create   bool     // the table, and columns that it lacks
	Timeout  time.Duration
}

// Postgres writes rows to a table of PostgreSQL. A row with the same key takes
// the place of the one before (INSERT … ON CONFLICT … DO UPDATE), so a batch
// may be written twice.
//
// Values are sent as text and become what the column is, so a table of the
// user's own may have other types than those that Create gives: double
// precision, bigint, boolean, text and bytea, and timestamptz for the time.
// What a column cannot take refuses its row alone, by way of halves (SQLSTATE
// classes 21, 22 and 23). So does a value for a column that the table lacks,
// if Fields does not name it. Missing rights, tables and databases are
// mistakes of the configuration.
type Postgres struct {
	c       PostgresConfig
	config  *pgconn.Config
	table   string // quoted
	written atomic.Uint64

	mu      sync.Mutex
	conn    *pgconn.PgConn    // nil while there is none
	types   map[string]string // of the table's columns; nil before they are asked for
	layout  layout
	clock   clock
	columns []pgColumn
	rows    []pgRow
	scratch []byte
}

// A pgColumn is a column that is written, and its values.
type pgColumn struct {
	name   string
	field  *field // nil for the time
	bytea  bool
	values []byte   // of all rows, one behind the other
	spans  [][2]int // where each begins and ends; -1 where there is none
}

// A pgRow is a row that can be written: its place in the columns and its number in the batch.
type pgRow struct{ at, row int }

// NewPostgres returns a sink for the server at c.URL, which need not be there yet.
func NewPostgres(c PostgresConfig) (*Postgres, error) {
	config, err := pgconn.ParseConfig(c.URL)
	if err != nil {
		return nil, errors.New("url: this is no address of a database\n\thint: such as postgres://user@localhost:5432/plant?sslmode=disable")
	}
	if c.Password != "" {
		config.Password = c.Password
	}
	if c.Time == "" {
		c.Time = timeName
	}
	if c.Timeout <= 0 {
		c.Timeout = PostgresTimeout
	}
	if len(c.Key) == 0 {
		return nil, errors.New("key: it says which rows are the same\n\thint: such as [time, device]")
	}
	config.RuntimeParams["application_name"] = "millrace"
	p := &Postgres{c: c, config: config}
	for part := range strings.SplitSeq(c.Table, ".") {
		if part == "" || len(part) > nameBytesMax {
			return nil, fmt.Errorf("table %q: a name has 1 to %d bytes", c.Table, nameBytesMax)
		}
		p.table += "." + pgName(part)
	}
	p.table = p.table[1:]
	p.layout.except = []string{timeName, c.Time}
	if len(c.Fields) > 0 {
		p.layout.only = slices.Concat(c.Key, c.Fields)
	}
	return p, nil
}

// pgName quotes a name.
func pgName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// Write implements Sink.
func (p *Postgres) Write(ctx context.Context, b *pipeline.Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil || b.Rows() == 0 {
		return err
	}
	if err := p.prepare(ctx, b); err != nil {
		return p.tell(err)
	}
	ours := p.encode(b)
	rows := make([]int, len(p.rows))
	for k, r := range p.rows {
		rows[k] = r.row
	}
	no, done, err := halve(len(p.rows), func(from, to int) (string, error) {
		err := p.insert(ctx, p.rows[from:to])
		if reason := pgReason(err); reason != "" {
			return reason, nil
		}
		return "", p.tell(err)
	})
	return settle(rows, ours, no, done, err)
}

// encode writes the values of b to the columns and returns the rows that
// cannot be written. Of rows with the same key the last is written.
func (p *Postgres) encode(b *pipeline.Batch) (no []Refusal) {
	for k := range p.columns {
		p.columns[k].values, p.columns[k].spans = p.columns[k].values[:0], p.columns[k].spans[:0]
	}
	p.rows = p.rows[:0]
	last := map[string]int{} // by key, the place in rows
	at := 0
	for i := range b.Rows() {
		if reason := p.lacks(b, i); reason != "" {
			no = append(no, Refusal{i, reason})
			continue
		}
		var key []byte
		for k := range p.columns {
			c := &p.columns[k]
			from := len(c.values)
			if p.value(c, b, i) {
				c.spans = append(c.spans, [2]int{from, len(c.values)})
			} else {
				c.spans = append(c.spans, [2]int{-1, -1})
			}
			if slices.Contains(p.c.Key, c.name) {
				key = append(fmt.Appendf(key, "%d:", len(c.values)-from), c.values[from:]...)
			}
		}
		if before, ok := last[string(key)]; ok {
			p.rows[before].at = -1
		}
		last[string(key)] = len(p.rows)
		p.rows = append(p.rows, pgRow{at, i})
		at++
	}
	p.rows = slices.DeleteFunc(p.rows, func(r pgRow) bool { return r.at < 0 })
	return no
}

// lacks says why row i cannot be written, if it cannot.
func (p *Postgres) lacks(b *pipeline.Batch, i int) string {
	for _, name := range p.c.Key {
		if name != p.c.Time && b.Column(name, i) == nil {
			return fmt.Sprintf("key %s has no value", name)
		}
	}
	for k := range p.layout.fields {
		f := &p.layout.fields[k]
		c := f.column(b, i)
		switch {
		case c == nil:
		case p.types[f.name] == "":
			return fmt.Sprintf("the table has no column %.80q\n\thint: add it, name the columns to write in fields, or write create: true", f.name)
		case (c.Kind == pipeline.Text || c.Kind == pipeline.Bytes) && !(c.Kind == pipeline.Bytes && p.types[f.name] == "bytea") && bytes.IndexByte(c.Text(i), 0) >= 0:
			return fmt.Sprintf("%s has a NUL, which PostgreSQL keeps in no text", f.name)
		}
	}
	return ""
}

// value appends the value of row i to the column and reports whether there is one.
func (p *Postgres) value(c *pgColumn, b *pipeline.Batch, i int) bool {
	if c.field == nil {
		c.values = p.clock.append(c.values, b.Time[i])
		return true
	}
	col := c.field.column(b, i)
	switch {
	case col == nil:
		return false
	case c.bytea && (col.Kind == pipeline.Text || col.Kind == pipeline.Bytes):
		c.values = hex.AppendEncode(append(c.values, `\x`...), col.Text(i))
	case col.Kind == pipeline.Text || col.Kind == pipeline.Bytes:
		c.values = appendUTF8(c.values, col, i)
	case col.Kind == pipeline.Float && !isFinite(col.Floats[i]):
		c.values = fmt.Append(c.values, col.Floats[i]) // NaN, +Inf, -Inf: PostgreSQL reads them
	default:
		c.values = appendPlain(c.values, col, i)
	}
	return true
}

// insert writes rows in one statement.
func (p *Postgres) insert(ctx context.Context, rows []pgRow) error {
	params := make([][]byte, len(p.columns))
	var size int
	for k := range p.columns {
		params[k] = p.columns[k].array(rows)
		size += len(params[k])
	}
	ctx, cancel := context.WithTimeout(ctx, p.c.Timeout)
	defer cancel()
	_, err := p.conn.ExecParams(ctx, p.statement(), params, nil, nil, nil).Close()
	if err == nil {
		p.written.Add(uint64(size))
	}
	return err
}

// array returns the values of rows as an array of PostgreSQL.
func (c *pgColumn) array(rows []pgRow) []byte {
	dst := []byte{'{'}
	for k, r := range rows {
		if k > 0 {
			dst = append(dst, ',')
		}
		span := c.spans[r.at]
		if span[0] < 0 {
			dst = append(dst, "NULL"...)
			continue
		}
		dst = append(dst, '"')
		for _, x := range c.values[span[0]:span[1]] {
			if x == '"' || x == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, x)
		}
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// statement returns the INSERT for the columns.
func (p *Postgres) statement() string {
	var names, casts, arrays, aliases, updates, keys []string
	for k, c := range p.columns {
		name := pgName(c.name)
		names = append(names, name)
		aliases = append(aliases, fmt.Sprintf("c%d", k))
		casts = append(casts, fmt.Sprintf("u.c%d::%s", k, p.types[c.name]))
		arrays = append(arrays, fmt.Sprintf("$%d::text[]", k+1))
		if !slices.Contains(p.c.Key, c.name) {
			updates = append(updates, name+" = EXCLUDED."+name)
		}
	}
	for _, name := range p.c.Key {
		keys = append(keys, pgName(name))
	}
	do := "NOTHING"
	if len(updates) > 0 {
		do = "UPDATE SET " + strings.Join(updates, ", ")
	}
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM unnest(%s) AS u(%s) ON CONFLICT (%s) DO %s", p.table, strings.Join(names, ", "),
		strings.Join(casts, ", "), strings.Join(arrays, ", "), strings.Join(aliases, ", "), strings.Join(keys, ", "), do)
}

// Written implements Meter.
func (p *Postgres) Written() uint64 { return p.written.Load() }

// Close implements Sink.
func (p *Postgres) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.c.Timeout)
	defer cancel()
	p.conn.Close(ctx) // what is written is written
	p.conn = nil
	return nil
}

// isName reports whether PostgreSQL takes a name as it is.
func isName(s string) bool {
	return s != "" && len(s) <= nameBytesMax && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}
