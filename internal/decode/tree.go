package decode

import (
	"fmt"
	"strconv"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// indexMax is the last place in an array that a path may name.
const indexMax = 1023

// A node is a place in payloads below which something is wanted.
//
//	fields temp, motor.id, readings[0].t      node ─temp──────▶ node (slot temp)
//	                                               ─motor─────▶ node ─id─▶ node (slot motor.id)
//	                                               ─readings──▶ node ─0──▶ node ─t─▶ node (slot readings[0].t)
type node struct {
	slot    *slot            // takes the value; nil: nobody wants it as a whole
	names   map[string]*node // what is wanted in an object
	items   map[int]*node    // what is wanted in an array
	guesses []guess
	entered uint64 // the last message that had a value here
	count   int    // protobuf: elements of a repeated field so far

	bare     *node // at the top of a tree: takes a value that is no object; nil: nobody wants it
	explodes bool  // the elements of the array here become rows
	opens    bool  // names that nobody asked for are wanted too
	outside  bool  // the tree is what stands around the rows
	prefix   string
}

// enter notes that message has a value here. A second one replaces the first
// with all that was below it.
func (n *node) enter(message uint64) {
	if n.entered == message {
		n.forget()
	}
	n.entered = message
}

func (n *node) forget() {
	if n.slot != nil {
		n.slot.shape = null
	}
	for _, c := range n.names {
		c.forget()
	}
	for _, c := range n.items {
		c.forget()
	}
}

// A slot holds what one payload has for one name.
type slot struct {
	name    string
	seen    uint64 // the last message that set it
	shape   shape
	num     decimal
	raw     []byte // a text, or a number as it was written; nil: a number of a binary format
	truth   bool
	float   float64                 // a real number, or the value once the slot was checked
	int     int64                   // a moment, or the value once the slot was checked
	columns [pipeline.Text + 1]bool // an open field: the kinds it has a column for
	open    bool
	nodes   int    // an open field: those that lead to it
	outer   *slot  // the field of this name around the rows of a message: it counts where the row has none
	written []byte // memory for a number as a text
}

// set notes that the present message has a value of this shape.
func (v *slot) set(s *scanner, is shape) *slot {
	if v == nil {
		return nil
	}
	if v.open && v.seen != s.message {
		s.open.touched = append(s.open.touched, v)
	}
	v.seen, v.shape = s.message, is
	return v
}

// A step leads from a node to one below it.
type step struct {
	name  string
	index int // in an array; -1: use name
}

// plant makes the nodes on the way to the field called name and puts v there.
func (n *node) plant(name string, v *slot) error {
	steps, err := parsePath(name)
	if err != nil {
		return err
	}
	if strings.Contains(name, ".") && n.names[name] == nil {
		n.put(step{name, -1}).slot = v // {"motor.temp": 1} says the same as {"motor": {"temp": 1}}
	}
	for _, s := range steps {
		n = n.put(s)
	}
	n.slot = v
	return nil
}

func (n *node) put(s step) *node {
	if s.index >= 0 {
		if n.items == nil {
			n.items = map[int]*node{}
		}
		if n.items[s.index] == nil {
			n.items[s.index] = &node{}
		}
		return n.items[s.index]
	}
	if n.names == nil {
		n.names = map[string]*node{}
	}
	if n.names[s.name] == nil {
		n.names[s.name] = &node{}
	}
	return n.names[s.name]
}

// parsePath reads the path to a field: readings[0].t
func parsePath(path string) (steps []step, err error) {
	for part := range strings.SplitSeq(path, ".") {
		name, rest, indexed := strings.Cut(part, "[")
		if name == "" {
			return nil, fmt.Errorf("field %q: a name is missing; write such as motor.temp or readings[0].t", path)
		}
		steps = append(steps, step{name, -1})
		for indexed {
			digits, more, closed := strings.Cut(rest, "]")
			index, err := strconv.ParseUint(digits, 10, 16)
			if !closed || err != nil || index > indexMax {
				return nil, fmt.Errorf("field %q: want a number from 0 to %d in brackets", path, indexMax)
			}
			steps = append(steps, step{index: int(index)})
			if more != "" && more[0] != '[' {
				return nil, fmt.Errorf("field %q: want . or [ behind ]", path)
			}
			_, rest, indexed = strings.Cut(more, "[")
		}
	}
	return steps, nil
}
