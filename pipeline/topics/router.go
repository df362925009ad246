package topics

import (
	"bytes"
	"slices"
)

// A Router tells which pipelines want a topic. It never changes, so any
// number of goroutines may ask it; a topic costs one walk down a tree of
// levels, whatever the number of filters.
type Router struct{ root node }

// A node stands for the levels down to here.
type node struct {
	children map[string]*node
	any      *node   // +
	here     []int32 // pipelines whose filter ends here
	below    []int32 // pipelines whose filter goes on with #
}

// NewRouter compiles filters, those of pipeline i at filters[i].
func NewRouter(filters [][]*Filter) *Router {
	r := &Router{}
	for i, list := range filters {
		for _, f := range list {
			r.root.add(f.levels, int32(i))
		}
	}
	return r
}

func (n *node) add(levels []string, pipeline int32) {
	for _, l := range levels {
		switch l {
		case "#":
			n.below = append(n.below, pipeline)
			return
		case "+":
			if n.any == nil {
				n.any = &node{}
			}
			n = n.any
		default:
			if n.children == nil {
				n.children = map[string]*node{}
			}
			if n.children[l] == nil {
				n.children[l] = &node{}
			}
			n = n.children[l]
		}
	}
	n.here = append(n.here, pipeline)
}

// Match appends the pipelines that want topic to dst, each once, in order.
func (r *Router) Match(dst []int32, topic []byte) []int32 {
	if len(topic) == 0 {
		return dst
	}
	from := len(dst)
	dst = r.root.match(dst, topic, true, topic[0] == '$')
	slices.Sort(dst[from:])
	return append(dst[:from], slices.Compact(dst[from:])...)
}

func (n *node) match(dst []int32, rest []byte, more, dollar bool) []int32 {
	if !dollar {
		dst = append(dst, n.below...)
	}
	if !more {
		return append(dst, n.here...)
	}
	level, rest, more := bytes.Cut(rest, []byte{'/'})
	if c := n.children[string(level)]; c != nil {
		dst = c.match(dst, rest, more, false)
	}
	if n.any != nil && !dollar {
		dst = n.any.match(dst, rest, more, false)
	}
	return dst
}
