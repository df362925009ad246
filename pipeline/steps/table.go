package steps

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// The limits of a table that is read from a file.
const (
	TableRowsMax  = 1_000_000
	TableBytesMax = 64 << 20
)

// A Table has values by key, for Lookup.
type Table struct {
	Fields pipeline.Schema // of the values
	Most   int             // entries
	rows   map[string][]cell
}

// A cell is a value of a table, or null.
type cell struct {
	has  bool
	bits uint64 // of a number or bool
	text []byte
}

// keySeparator stands between the columns of a key.
const keySeparator = 0

// NewTable returns an empty table.
func NewTable(fields pipeline.Schema, most int) *Table {
	return &Table{Fields: fields, Most: most, rows: map[string][]cell{}}
}

// ReadTable reads comma-separated values (RFC 4180): the first line names the
// columns; those of by make the key, and columns are kept, all others where
// there are none. A column is of numbers if all that is there is one, of bools
// if it is true or false, otherwise of texts; an empty cell is null.
func ReadTable(r io.Reader, by, columns []string) (*Table, error) {
	limited := &io.LimitedReader{R: r, N: TableBytesMax + 1}
	c := csv.NewReader(limited)
	names, err := c.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty; its first line names the columns")
	}
	if err != nil {
		return nil, err
	}
	names = slices.Clone(names)
	names[0] = strings.TrimPrefix(names[0], "\ufeff")
	keys, kept, err := choose(names, by, columns)
	if err != nil {
		return nil, err
	}
	var lines [][]string
	seen := map[string]int{}
	for {
		line, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		at, _ := c.FieldPos(0)
		key := keyOf(line, keys)
		if before, ok := seen[key]; ok {
			return nil, fmt.Errorf("line %d: %s is there already, on line %d", at, strings.ReplaceAll(key, "\x00", ", "), before)
		}
		seen[key] = at
		if lines = append(lines, line); len(lines) > TableRowsMax {
			return nil, fmt.Errorf("more than %d lines", TableRowsMax)
		}
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("more than %d bytes", TableBytesMax)
	}
	return tableOf(names, lines, keys, kept), nil
}

// choose returns the places of the key's columns and of those to be kept.
func choose(names, by, columns []string) (keys, kept []int, err error) {
	place := func(name string) int {
		at := slices.Index(names, name)
		if at < 0 && err == nil {
			err = fmt.Errorf("no column %q; there are %s", name, strings.Join(names, ", "))
		}
		return at
	}
	for i, name := range names {
		if slices.Index(names, name) != i {
			return nil, nil, fmt.Errorf("two columns are called %q", name)
		}
	}
	for _, name := range by {
		keys = append(keys, place(name))
	}
	for _, name := range columns {
		kept = append(kept, place(name))
	}
	if len(columns) == 0 {
		for i := range names {
			if !slices.Contains(keys, i) {
				kept = append(kept, i)
			}
		}
	}
	if err == nil && len(kept) == 0 {
		err = errors.New("there is no column but the key")
	}
	return keys, kept, err
}

func keyOf(line []string, keys []int) string {
	var parts []string
	for _, at := range keys {
		parts = append(parts, line[at])
	}
	return strings.Join(parts, string(rune(keySeparator)))
}

func tableOf(names []string, lines [][]string, keys, kept []int) *Table {
	t := NewTable(nil, len(lines))
	for _, at := range kept {
		t.Fields = append(t.Fields, pipeline.Field{Name: names[at], Kind: kindOf(lines, at)})
	}
	for _, line := range lines {
		var cells []cell
		for k, at := range kept {
			cells = append(cells, cellOf(line[at], t.Fields[k].Kind))
		}
		t.rows[keyOf(line, keys)] = cells
	}
	return t
}

// kindOf tells what the cells of a column are.
func kindOf(lines [][]string, at int) pipeline.Kind {
	kind := pipeline.Kind(0)
	for _, line := range lines {
		is := pipeline.Text
		if _, err := strconv.ParseFloat(line[at], 64); err == nil {
			is = pipeline.Float
		} else if line[at] == "true" || line[at] == "false" {
			is = pipeline.Bool
		}
		switch {
		case line[at] == "":
		case kind == 0:
			kind = is
		case kind != is:
			return pipeline.Text
		}
	}
	if kind == 0 {
		return pipeline.Text
	}
	return kind
}

func cellOf(s string, kind pipeline.Kind) cell {
	if s == "" {
		return cell{}
	}
	w := writer{}
	switch kind {
	case pipeline.Float:
		v, _ := strconv.ParseFloat(s, 64) // kindOf has tried it
		w.float(v)
	case pipeline.Bool:
		w.bool(s == "true")
	default:
		w.b = []byte(s)
	}
	return cellFrom(w.b, kind)
}

// cellFrom returns the cell with the bytes of a value; it keeps b.
func cellFrom(b []byte, kind pipeline.Kind) cell {
	r := reader{b: b}
	switch kind {
	case pipeline.Float, pipeline.Int:
		return cell{has: true, bits: uint64(r.int())}
	case pipeline.Bool:
		return cell{has: true, bits: uint64(b[0])}
	}
	return cell{has: true, text: b}
}

// put sets the entry of a key to the values of row i, or takes it away when
// all are null; false: the table is full.
func (t *Table) put(key []byte, columns []*pipeline.Column, i int) bool {
	cells := make([]cell, len(columns))
	any := false
	for k, c := range columns {
		if !c.Has(i) {
			continue
		}
		any = true
		w := writer{}
		switch c.Kind {
		case pipeline.Float:
			w.float(c.Floats[i])
		case pipeline.Int:
			w.int(c.Ints[i])
		case pipeline.Bool:
			w.bool(c.Bools[i] != 0)
		default:
			w.b = slices.Clone(c.Text(i))
		}
		cells[k] = cellFrom(w.b, c.Kind)
	}
	if !any {
		delete(t.rows, string(key))
		return true
	}
	if _, there := t.rows[string(key)]; !there && len(t.rows) >= t.Most {
		return false
	}
	t.rows[string(key)] = cells
	return true
}
