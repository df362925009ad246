package oracle

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Packets of MQTT 3.1.1, chapter 2.2.1, with the flags they must have.
const (
	connect = 0x10
	connack = 0x20
	publish = 0x30
	puback  = 0x40
	pubrec  = 0x50
	pubrel  = 0x62
	pubcomp = 0x70
	dup     = 0x08
)

const (
	inFlightMax = 30               // messages of a publisher that are not acknowledged
	connackMax  = 10 * time.Second // how long a broker may take for CONNACK
	retryAfter  = 3 * time.Millisecond
)

// A Publisher is a device with a persistent MQTT 3.1.1 session. It sends its
// messages in order, and after a lost connection first those again that were
// not acknowledged, as section 4.4 asks.
type Publisher struct {
	Name  string
	QoS   byte
	Pause time.Duration // between two new messages
	Dial  func(ctx context.Context) (net.Conn, error)
	Tell  func(Event) // what has become of a message, before anything else happens; nil for nobody

	mu      sync.Mutex
	state   State
	cut     bool // the power is off: what is heard counts for nothing
	stopped bool // no new messages but the last
}

// State is what a device remembers of its messages; it can go on from it.
type State struct {
	Sent   int       // messages that were ever sent; they have the numbers from 1 on
	Acked  int       // of them, acknowledged
	Resent int       // how often one was sent again
	Over   bool      // the last message has been sent
	Flight []Message // that are not acknowledged
}

// A Message is on its way.
type Message struct {
	Number   int
	Last     bool
	Received bool // QoS 2: PUBREC has come
}

// An Event is what happens to a message.
type Event struct {
	What   string // sent, last, received or acked
	Number int
}

// Apply changes the state by an event.
func (s *State) Apply(e Event) {
	i := slices.IndexFunc(s.Flight, func(m Message) bool { return m.Number == e.Number })
	switch e.What {
	case "sent", "last":
		s.Sent, s.Over = e.Number, e.What == "last"
		s.Flight = append(s.Flight, Message{Number: e.Number, Last: s.Over})
	case "received":
		s.Flight[i].Received = true
	case "acked":
		s.Acked++
		s.Flight = slices.Delete(s.Flight, i, i+1)
	}
}

// Resume lets the publisher go on from a state.
func (p *Publisher) Resume(s State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
}

// State returns a copy of the publisher's state.
func (p *Publisher) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	s.Flight = slices.Clone(s.Flight)
	return s
}

// happens changes the state and tells it; p.mu is held.
func (p *Publisher) happens(e Event) {
	p.state.Apply(e)
	if p.Tell != nil {
		p.Tell(e)
	}
}

// id returns a message's packet identifier.
func id(number int) uint16 { return uint16((number-1)%65535 + 1) }

func ack(kind byte, id uint16) []byte { return binary.BigEndian.AppendUint16([]byte{kind, 2}, id) }

// packet returns what is to be sent for a message now.
func (p *Publisher) packet(m Message, again bool) []byte {
	if m.Received {
		return ack(pubrel, id(m.Number))
	}
	payload := reading(m.Number)
	if m.Last {
		payload = farewell(m.Number)
	}
	head := publish | p.QoS<<1
	if again {
		head |= dup
	}
	topic := fmt.Sprintf("q%d/%s", p.QoS, p.Name)
	b := []byte{head, byte(4 + len(topic) + len(payload))} // below 128
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(topic))), topic...)
	return append(binary.BigEndian.AppendUint16(b, id(m.Number)), payload...)
}

// Run publishes until ctx ends, through any number of connections.
func (p *Publisher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if p.connection(ctx) == nil {
			continue
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
		}
	}
}

func (p *Publisher) connection(ctx context.Context) error {
	c, err := p.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	r := bufio.NewReader(c)
	if err := p.hello(c, r); err != nil {
		return err
	}
	if err := p.again(c); err != nil {
		return err
	}
	done := make(chan struct{})
	defer func() { <-done }()
	defer c.Close()
	go func() {
		defer close(done)
		defer c.Close()
		p.listen(c, r)
	}()
	return p.publish(ctx, c, done)
}

// hello connects, with a session that stays.
func (p *Publisher) hello(c net.Conn, r io.Reader) error {
	client := fmt.Sprintf("%s-q%d", p.Name, p.QoS)
	b := append([]byte{connect, byte(12 + len(client))}, "\x00\x04MQTT\x04\x00\x00\x00"...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(client))), client...)
	if _, err := c.Write(b); err != nil {
		return err
	}
	var answer [4]byte
	c.SetReadDeadline(time.Now().Add(connackMax))
	defer c.SetReadDeadline(time.Time{})
	if _, err := io.ReadFull(r, answer[:]); err != nil {
		return err
	}
	if answer[0] != connack || answer[3] != 0 {
		return fmt.Errorf("no CONNACK that says yes: % x", answer)
	}
	return nil
}

// again sends what is not acknowledged.
func (p *Publisher) again(c net.Conn) error {
	p.mu.Lock()
	flight := slices.Clone(p.state.Flight)
	p.state.Resent += len(flight)
	p.mu.Unlock()
	for _, m := range flight {
		if _, err := c.Write(p.packet(m, true)); err != nil {
			return err
		}
	}
	return nil
}

// publish sends new messages while there is room.
func (p *Publisher) publish(ctx context.Context, c net.Conn, lost chan struct{}) error {
	t := time.NewTicker(p.Pause)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lost:
			return io.ErrUnexpectedEOF
		case <-t.C:
		}
		if m, ok := p.next(); ok {
			if _, err := c.Write(p.packet(m, false)); err != nil {
				return err
			}
		}
	}
}

// next returns a new message if there is room for one on the way.
func (p *Publisher) next() (Message, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.state.Flight) >= inFlightMax || p.state.Over || p.cut {
		return Message{}, false
	}
	e := Event{"sent", p.state.Sent + 1}
	if p.stopped {
		e.What = "last"
	}
	p.happens(e)
	return p.state.Flight[len(p.state.Flight)-1], true
}

// listen takes acknowledgements until the connection ends.
func (p *Publisher) listen(c net.Conn, r io.Reader) {
	var b [4]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return
		}
		if answer := p.heard(b[0], binary.BigEndian.Uint16(b[2:])); answer != nil {
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// heard takes an acknowledgement and returns what is to be answered.
func (p *Publisher) heard(kind byte, of uint16) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return nil
	}
	i := slices.IndexFunc(p.state.Flight, func(m Message) bool { return id(m.Number) == of })
	if i < 0 {
		if kind == pubrec {
			return ack(pubrel, of)
		}
		return nil
	}
	m := p.state.Flight[i]
	switch {
	case kind == pubrec && p.QoS == 2:
		if !m.Received {
			p.happens(Event{"received", m.Number})
		}
		return ack(pubrel, of)
	case kind == puback && p.QoS == 1, kind == pubcomp && m.Received:
		p.happens(Event{"acked", m.Number})
	}
	return nil
}

// Cut says whether the power is off: what is heard meanwhile counts for
// nothing, as it could have been lost on the wire.
func (p *Publisher) Cut(is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = is
}

// Stop has the publisher send its last message.
func (p *Publisher) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

// Done reports whether the last message and all before it are acknowledged.
func (s *State) Done() bool { return s.Over && len(s.Flight) == 0 }
