package broker

// A window says which QoS 1 and 2 messages may be on their way to a client:
// no more than its Receive Maximum [MQTT-3.3.4-9] and unackedBytesMax. The
// others are numbers here; their content stays in mochi's store.
type window struct {
	max     int            // messages
	sent    map[uint16]int // size, by packet identifier, of those on their way; 0: let go, and not written yet
	letGo   int            // how many are not written yet
	bytes   int
	waiting []held // oldest first; sessionMessages bounds it
}

// A held message waits for room in the window.
type held struct {
	id    uint16 // packet identifier
	again bool   // it has been sent on an earlier connection
}

// admit reports whether a message of that size may be written now; else it
// will be waiting. Messages keep their order.
func (w *window) admit(id uint16, size int, again bool) bool {
	if w.isLetGo(id) {
		w.letGo--
	} else if w.full() || len(w.waiting) > 0 || w.letGo > 0 {
		w.waiting = append(w.waiting, held{id, again})
		return false
	}
	if w.sent == nil {
		w.sent = map[uint16]int{}
	}
	w.bytes += size - w.sent[id]
	w.sent[id] = size
	return true
}

func (w *window) full() bool {
	return len(w.sent) >= w.max || len(w.sent) > 0 && w.bytes >= unackedBytesMax
}

// isLetGo reports whether next has returned the message and it has not been
// written yet.
func (w *window) isLetGo(id uint16) bool {
	size, ok := w.sent[id]
	return ok && size == 0
}

// done takes note that the client has acknowledged a message, or that it will
// not be written.
func (w *window) done(id uint16) {
	if w.isLetGo(id) {
		w.letGo--
	}
	w.bytes -= w.sent[id]
	delete(w.sent, id)
}

func (w *window) canLetGo() bool { return len(w.waiting) > 0 && w.letGo == 0 && !w.full() }

// next lets the oldest waiting message go, and returns false if there is none
// or no room. One is let go at a time, because its size is not known here.
func (w *window) next() (held, bool) {
	if !w.canLetGo() {
		return held{}, false
	}
	h := w.waiting[0]
	if w.waiting = w.waiting[1:]; len(w.waiting) == 0 {
		w.waiting = nil
	}
	if w.sent == nil {
		w.sent = map[uint16]int{}
	}
	w.sent[h.id] = 0
	w.letGo++
	return h, true
}
