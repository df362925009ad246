package node

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"millrace.dev/millrace/pipeline/topics"
)

const (
	routesMax = 1 << 16 // sets of several pipelines that get a number of their own
	routeAsk  = 1 << 31 // the route of a topic that reaches yet another set: ask the router again

	// Between stands the edition of the table. What waits in the journal with
	// a number of another edition is asked for again, so a number would have
	// to wait there while editionsMax tables come and go to be mistaken.
	editionShift = 19
	editionsMax  = 1 << (31 - editionShift)
)

// Routes give numbers to the sets of pipelines that topics reach, for the
// journal to keep with a message: 0 is nobody, i+1 is pipeline i alone, and
// sets of several are numbered as they appear. Its methods may be called at
// the same time.
type routes struct {
	edition uint32 // in its place
	router  *topics.Router
	alone   [][]int32 // by route, of nobody and of one pipeline

	mu     sync.RWMutex
	number map[string]uint32         // of a set of several, by its bytes
	shared atomic.Pointer[[][]int32] // the sets of several, from route len(alone) on
}

// newRoutes returns the table of that edition, which differs from the one before.
func newRoutes(pipes []*Pipeline, edition int) *routes {
	r := &routes{edition: uint32(edition%editionsMax) << editionShift, alone: [][]int32{nil}, number: map[string]uint32{}}
	var filters [][]*topics.Filter
	for i, p := range pipes {
		filters = append(filters, p.Filters)
		r.alone = append(r.alone, []int32{int32(i)})
	}
	r.router = topics.NewRouter(filters)
	r.shared.Store(&[][]int32{})
	return r
}

// of returns the route of a topic.
func (r *routes) of(topic []byte) uint32 {
	var room [16]int32
	set := r.router.Match(room[:0], topic)
	switch len(set) {
	case 0:
		return 0
	case 1:
		return r.edition | uint32(set[0]) + 1
	}
	var bytes [64]byte
	key := bytes[:0]
	for _, i := range set {
		key = binary.LittleEndian.AppendUint32(key, uint32(i))
	}
	r.mu.RLock()
	n, ok := r.number[string(key)]
	r.mu.RUnlock()
	if !ok {
		n = r.add(string(key), set)
	}
	return n
}

func (r *routes) add(key string, set []int32) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, ok := r.number[key]; ok {
		return n
	}
	all := *r.shared.Load()
	if len(all) == routesMax {
		return routeAsk
	}
	n := r.edition | uint32(len(r.alone)+len(all))
	all = append(all, slices.Clone(set)) // what readers have of the old slice does not change
	r.shared.Store(&all)
	r.number[key] = n
	return n
}

// pipelines returns the pipelines on a route, in order; the caller must not
// change them. The topic is that of the message.
func (r *routes) pipelines(route uint32, topic []byte) []int32 {
	if !r.knows(route) {
		return r.router.Match(nil, topic)
	}
	route -= r.edition
	if route < uint32(len(r.alone)) {
		return r.alone[route]
	}
	return (*r.shared.Load())[route-uint32(len(r.alone))]
}

// knows reports whether the number says all.
func (r *routes) knows(route uint32) bool {
	return route>>editionShift == r.edition>>editionShift
}
