package decode

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// CSVColumnsMax is the most columns of a line.
const CSVColumnsMax = 1024

// CSV says how comma-separated values (RFC 4180) are laid out.
type CSV struct {
	Columns   []string // the columns in order, an empty name for one to leave out; none: the first line of each payload names them
	Separator byte     // 0 is a comma
}

// csvFormat reads comma-separated values, a row a line. What a cell is follows
// from its use; an empty one has no value.
type csvFormat struct {
	*scanner
	separator byte
	fixed     bool
	header    []byte   // the last header line
	columns   [][]byte // its names, or the fixed ones
}

func newCSV(s *scanner, c CSV) (*csvFormat, error) {
	s.language = "CSV"
	f := &csvFormat{scanner: s, separator: c.Separator, fixed: len(c.Columns) > 0}
	if f.separator == 0 {
		f.separator = ','
	}
	if f.separator == '"' || f.separator == '\n' || f.separator == '\r' || f.separator >= utf8.RuneSelf {
		return nil, fmt.Errorf("csv: %q cannot separate cells", f.separator)
	}
	if len(c.Columns) > CSVColumnsMax {
		return nil, fmt.Errorf("csv: %d columns, the most is %d", len(c.Columns), CSVColumnsMax)
	}
	for _, name := range c.Columns {
		f.columns = append(f.columns, []byte(name))
	}
	return f, nil
}

func (f *csvFormat) scan(p []byte, _ *node) bool {
	if !utf8.Valid(p) {
		f.refuse("not UTF-8")
		return false
	}
	named := f.fixed
	for i := 0; i < len(p); {
		end := f.lineEnd(p, i)
		line := bytes.TrimSuffix(p[i:end], []byte{'\r'})
		switch {
		case len(line) == 0:
		case !named:
			if !f.names(line) {
				return false
			}
			named = true
		case !f.item(i, i+len(line)):
			return false
		}
		i = end + 1
	}
	return true
}

// lineEnd returns where the line at p[i] ends: at a newline outside of quotes.
func (f *csvFormat) lineEnd(p []byte, i int) int {
	quoted := false
	for ; i < len(p); i++ {
		if p[i] == '"' {
			quoted = !quoted
		} else if p[i] == '\n' && !quoted {
			return i
		}
	}
	return i
}

// names takes the columns from a header line, unless it is the last one again.
func (f *csvFormat) names(line []byte) bool {
	if bytes.Equal(line, f.header) {
		return true
	}
	f.header, f.columns = f.header[:0], f.columns[:0]
	for i := 0; ; i++ {
		name, next := f.next(line, i)
		if next < 0 {
			return false
		}
		if len(f.columns) == CSVColumnsMax {
			f.refuse(fmt.Sprintf("more than %d columns", CSVColumnsMax))
			return false
		}
		f.columns = append(f.columns, bytes.Clone(bytes.TrimSpace(name)))
		if i = next; i >= len(line) {
			break
		}
	}
	f.header = append(f.header, line...)
	return true
}

// next returns the cell at p[i] and where it ends: at a separator or the end of p.
func (f *csvFormat) next(p []byte, i int) (cell []byte, end int) {
	if i >= len(p) || p[i] != '"' {
		n := bytes.IndexByte(p[i:], f.separator)
		if n < 0 {
			n = len(p) - i
		}
		return p[i : i+n], i + n
	}
	from := len(f.scratch)
	for i++; i < len(p); i++ {
		if p[i] == '"' {
			if i++; i >= len(p) || p[i] == f.separator {
				return f.scratch[from:len(f.scratch):len(f.scratch)], i
			}
			if p[i] != '"' {
				return nil, f.fail(i, "want the separator behind a quote")
			}
		}
		f.scratch = append(f.scratch, p[i])
	}
	return nil, f.fail(i, "it ends inside quotes")
}

func (f *csvFormat) row(p []byte, at span, n *node) bool {
	p = p[:at.to]
	for i, k := at.from, 0; ; i, k = i+1, k+1 {
		cell, end := f.next(p, i)
		if end < 0 {
			return false
		}
		if k >= len(f.columns) {
			f.refuse(fmt.Sprintf("%d columns are named, and here are more", len(f.columns)))
			return false
		}
		if len(f.columns[k]) > 0 {
			v := f.slotOf(n, k, f.columns[k])
			if f.wrong != "" {
				return false
			}
			f.setBare(v, bytes.TrimSpace(cell))
		}
		if i = end; i >= len(p) {
			return true
		}
	}
}
