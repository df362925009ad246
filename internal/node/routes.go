package node

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline/topics"
)

const (
	routesMax = 1 << 16 // sets of several pipelines that get a number of their own
	routeAsk  = 1 << 31 // the route of a topic that reaches yet another set: ask the router again

	// Between stand the number of the broker that the message is from, and
	// the edition of the table. What waits in the journal with a number of
	// another edition is asked for again, so a number would have to wait there
	// while editionsMax tables come and go to be mistaken.
	sourceShift  = 19
	editionShift = 24
	editionsMax  = 1 << (31 - editionShift)

	// routeKept are the bits of a route that are of use to another process.
	routeKept = (sourcesMax - 1) << sourceShift
)

// Routes give numbers to the sets of pipelines that topics reach, for the
// journal to keep with a message: 0 is nobody, i+1 is pipeline i alone, and
// sets of several are numbered as they appear. Its methods may be called at
// the same time.
type routes struct {
	edition uint32               // in its place
	routers []*topics.Router     // by source; 0 is the embedded broker
	alone   [][]int32            // by route, of nobody and of one pipeline
	keeps   []journal.Durability // by pipeline

	mu     sync.RWMutex
	number map[string]uint32         // of a set of several, by its bytes
	shared atomic.Pointer[[][]int32] // the sets of several, from route len(alone) on
}

// newRoutes returns the table of that edition, which differs from the one
// before. others are the names of the other brokers that messages come from;
// their numbers begin with 1.
func newRoutes(pipes []*Pipeline, edition int, others ...string) *routes {
	r := &routes{edition: uint32(edition%editionsMax) << editionShift, alone: [][]int32{nil}, number: map[string]uint32{}}
	for i := range pipes {
		r.alone = append(r.alone, []int32{int32(i)})
		r.keeps = append(r.keeps, pipes[i].keep)
	}
	for _, source := range append([]string{""}, others...) {
		var filters [][]*topics.Filter
		for _, p := range pipes {
			filters = append(filters, p.filtersAt(source))
		}
		r.routers = append(r.routers, topics.NewRouter(filters))
	}
	r.shared.Store(&[][]int32{})
	return r
}

// filtersAt returns what the pipeline takes from a broker: its rows are from
// one, what becomes tables is from the embedded one.
func (p *Pipeline) filtersAt(source string) []*topics.Filter {
	var all []*topics.Filter
	if p.Config.From.Broker == source {
		all = append(all, p.Filters[:p.sources]...)
	}
	if source == "" {
		all = append(all, p.Filters[p.sources:]...)
	}
	return all
}

// from returns the route of a topic of a broker, the embedded one or another,
// and the strongest durability of the pipelines on it.
func (r *routes) from(source int, topic []byte) (route uint32, keep journal.Durability) {
	if source >= len(r.routers) {
		return 0, 0 // it is newer than this table
	}
	var room [16]int32
	set := r.routers[source].Match(room[:0], topic)
	if len(set) == 0 {
		return 0, 0
	}
	for _, i := range set {
		keep = max(keep, r.keeps[i])
	}
	return r.set(set) | uint32(source)<<sourceShift, keep
}

// set returns the number of a set of pipelines, which is not empty.
func (r *routes) set(set []int32) uint32 {
	if len(set) == 1 {
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
		if source := int(route >> sourceShift & (sourcesMax - 1)); source < len(r.routers) {
			return r.routers[source].Match(nil, topic)
		}
		return nil
	}
	route &= 1<<sourceShift - 1
	if route < uint32(len(r.alone)) {
		return r.alone[route]
	}
	return (*r.shared.Load())[route-uint32(len(r.alone))]
}

// knows reports whether the number says all.
func (r *routes) knows(route uint32) bool {
	return route>>editionShift == r.edition>>editionShift
}
