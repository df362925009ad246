package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	paholog "github.com/eclipse/paho.golang/paho/log"
	mqttsession "github.com/eclipse/paho.golang/paho/session"
)

// A session is one connection of a link. It is paho's session manager, too,
// and keeps nothing beyond the connection: what goes out is kept by the sink
// until it is acknowledged, what comes in by the other broker.
type session struct {
	link   *Link
	conn   *linkConn
	client *paho.Client
	lost   context.Context // done when the connection is
	cancel context.CancelFunc
	why    chan error // holds why the connection ended, once
	acks   chan arrival

	mu       sync.Mutex
	cond     *sync.Cond // told when an answer came or the connection is lost
	waits    map[uint16]waiting
	lastID   uint16
	inFlight int
	answers  uint64 // that messages in flight have got
	allowed  int    // most messages in flight
	sizeMax  uint32 // most bytes of a packet that the other side takes; 0 for any
	gone     bool   // the connection is lost
	moved    bool   // a message went through
}

// A waiting packet waits for its answer: a message of a flight, or a packet of paho's.
type waiting struct {
	flight *Flight
	at     int // of the message in the flight
	answer chan<- packets.ControlPacket
}

func newSession(l *Link, raw net.Conn) *session {
	s := &session{link: l, why: make(chan error, 1), acks: make(chan arrival, linkReceiveMax), waits: map[uint16]waiting{}, allowed: linkFlightMax}
	s.conn = newLinkConn(raw, int(l.config.PacketBytesMax), s.tooLarge)
	if l.config.Version == Version311 {
		s.conn.older = &older{}
	}
	s.cond = sync.NewCond(&s.mu)
	s.lost, s.cancel = context.WithCancel(context.Background())
	return s
}

// serve returns why the connection ended, when all that belongs to it has.
func (s *session) serve(ctx context.Context) error {
	var acknowledging sync.WaitGroup
	acknowledging.Go(s.acknowledge)
	defer acknowledging.Wait()
	var err error
	select {
	case err = <-s.why:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.close()
	return err
}

// ended notes why the connection ended; the first word counts.
func (s *session) ended(err error) {
	if broken := s.conn.broken(); broken != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = broken // nothing was said
	}
	select {
	case s.why <- err:
	default:
	}
}

// close says goodbye, if there is somebody, and waits until paho has ended.
func (s *session) close() {
	s.client.Disconnect(&paho.Disconnect{})
}

// useful reports whether a message went through the connection.
func (s *session) useful() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moved
}

// subscribe asks for what the link wants, unless the other broker remembers.
func (s *session) subscribe(ctx context.Context, remembered bool) error {
	all := s.link.config.Subscriptions
	if len(all) == 0 || remembered {
		return nil
	}
	ask := &paho.Subscribe{}
	for _, sub := range all {
		ask.Subscriptions = append(ask.Subscriptions, paho.SubscribeOptions{
			Topic: sub.Filter, QoS: sub.QoS, RetainHandling: packets.RetainSendOnSubscribeIfNew,
			NoLocal: !sub.isShared(), // with a shared one it would be an error [MQTT-3.8.3-4]
		})
	}
	ack, err := s.client.Subscribe(ctx, ask)
	if ack != nil {
		for i, code := range ack.Reasons {
			if i < len(all) && code >= 0x80 {
				return &mistake{fmt.Errorf("it refuses to give us %s: %s", all[i].Filter, reason(code))}
			}
		}
	}
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// ConAckReceived implements paho's session manager: the connection begins.
func (s *session) ConAckReceived(_ io.Writer, _ *packets.Connect, ack *packets.Connack) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := ack.Properties; p != nil {
		if p.ReceiveMaximum != nil {
			s.allowed = min(s.allowed, max(1, int(*p.ReceiveMaximum)))
		}
		if p.MaximumPacketSize != nil {
			s.sizeMax = *p.MaximumPacketSize
		}
	}
	return nil
}

// ConnectionLost implements paho's session manager: nobody waits any longer.
func (s *session) ConnectionLost(*packets.Disconnect) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel()
	s.gone = true
	for _, w := range s.waits {
		if w.answer != nil {
			w.answer <- packets.ControlPacket{} // it has room for one
		}
	}
	clear(s.waits)
	s.cond.Broadcast()
	return nil
}

// AddToSession implements paho's session manager for SUBSCRIBE; the messages
// of flights do not go through paho.
func (s *session) AddToSession(_ context.Context, p mqttsession.Packet, answer chan<- packets.ControlPacket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return mqttsession.ErrNoConnection
	}
	p.SetIdentifier(s.expect(waiting{answer: answer}))
	return nil
}

// wake wakes the flights that wait. It sets late, if it is given.
func (s *session) wake(late *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if late != nil {
		*late = true
	}
	s.cond.Broadcast()
}

// expect returns a packet identifier whose answer w waits for; s.mu is held.
// There are always some left, because what waits is bounded.
func (s *session) expect(w waiting) uint16 {
	for {
		if s.lastID++; s.lastID == 0 {
			s.lastID = 1
		}
		if _, taken := s.waits[s.lastID]; !taken {
			s.waits[s.lastID] = w
			return s.lastID
		}
	}
}

var errNotAsked = errors.New("a packet that we have not asked for")

// PacketReceived implements paho's session manager. It is called in the
// reader of the connection.
func (s *session) PacketReceived(p *packets.ControlPacket, to chan<- *packets.Publish) error {
	switch c := p.Content.(type) {
	case *packets.Publish:
		if c.QoS > linkQoSMax {
			s.ended(fmt.Errorf("a message with QoS %d, the most we asked for is %d", c.QoS, linkQoSMax))
			s.conn.Close()
			return errNotAsked
		}
		select {
		case to <- c:
		case <-s.lost.Done():
		}
		return nil
	case *packets.Puback:
		s.answered(c.PacketID, c.ReasonCode, p)
		return nil
	case *packets.Suback:
		s.answered(c.PacketID, 0, p)
		return nil
	}
	return errNotAsked
}

// answered hands an answer to whoever waits for it.
func (s *session) answered(id uint16, code byte, p *packets.ControlPacket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.waits[id]
	if !ok {
		return
	}
	delete(s.waits, id)
	if w.flight == nil {
		w.answer <- *p
		return
	}
	s.inFlight--
	s.answers++
	s.moved = true
	s.link.count.out.Inc()
	w.flight.answer(w.at, code)
	s.cond.Broadcast()
}

// Ack implements paho's session manager: it does nothing, because messages
// are acknowledged when the journal has them; see acknowledge.
func (s *session) Ack(*packets.Publish) error { return nil }

// Close implements paho's session manager.
func (s *session) Close() error { return nil }

// SetErrorLogger implements paho's session manager; nothing is logged.
func (s *session) SetErrorLogger(paholog.Logger) {}

// SetDebugLogger implements paho's session manager; nothing is logged.
func (s *session) SetDebugLogger(paholog.Logger) {}
