package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"millrace.dev/millrace/pipeline/topics"
)

// A Flight is messages on their way to another broker over one connection,
// several at once and in order. It is for one goroutine. Of a flight that was
// cut short, all that Settle does not count are to be published again, in the
// same order: some may then be there twice, none is lost, and the first of
// each are in order.
type Flight struct {
	s       *session
	ctx     context.Context
	packets bytes.Buffer // not sent yet
	cut     bool         // a message was not even sent

	// session.mu guards what follows.
	answers []int16 // by message: a reason code, noAnswer or notSent
	settled int     // messages from the first one on that are done with
}

const (
	noAnswer = -1
	notSent  = -2 // of QoS 0, which has no answer
)

// What a reason code may ask for that is worth another try.
const (
	codeInUse = 0x91
	codeQuota = 0x97
)

var (
	errNoAnswer = errors.New("it does not acknowledge messages")
	errLost     = errors.New("the connection was lost before all messages were acknowledged")
)

// Publish sends a message, and returns when it is on its way, or not to be:
// then the error says what is wrong with it. It waits while 100 messages, or
// fewer if the other broker says so, wait for their acknowledgement. What
// became of it is known after Settle. Topic and payload are free again.
func (f *Flight) Publish(topic, payload []byte, qos byte, retain bool, hop uint8) error {
	return f.PublishWith(topic, payload, qos, retain, hop, nil)
}

// PublishWith is Publish with properties, nil for none, which stay the
// caller's. In MQTT 3.1.1 they are left out.
func (f *Flight) PublishWith(topic, payload []byte, qos byte, retain bool, hop uint8, with *topics.Properties) error {
	switch err := topics.ValidTopic(topic); {
	case err != nil:
		return fmt.Errorf("broker: publish to %q: %w", topic, err)
	case hop > HopsMax:
		return fmt.Errorf("broker: publish to %s: the message has been through %d pipelines, the most is %d", topic, hop, HopsMax)
	case qos > linkQoSMax:
		return fmt.Errorf("broker: publish to %s: QoS %d is not for other brokers", topic, qos)
	}
	m := packets.Publish{Topic: string(topic), Payload: payload, QoS: qos, Retain: retain, Properties: &packets.Properties{}}
	if f.s.conn.older == nil {
		f.fill(m.Properties, hop, with)
	}
	if most := int64(f.s.sizeMax); most > 0 && sizeOf(&m) > most {
		return fmt.Errorf("broker: publish to %s: a packet of %d bytes is more than the other broker takes, %d", topic, sizeOf(&m), most)
	}
	if !f.reserve(&m) {
		f.cut = true // Settle tells
		return nil
	}
	m.WriteTo(&f.packets)
	if f.packets.Len() >= linkWriteBytes {
		f.flush()
	}
	return nil
}

// fill fills the properties of a message; those by which links know it come first.
func (f *Flight) fill(p *packets.Properties, hop uint8, with *topics.Properties) {
	p.User = []packets.User{
		{Key: hopsProperty, Value: strconv.Itoa(int(hop))}, {Key: originProperty, Value: f.s.link.config.ClientID},
	}
	if with == nil {
		return
	}
	p.ContentType, p.ResponseTopic = with.ContentType, with.ResponseTopic
	if with.Expiry > 0 {
		p.MessageExpiry = &with.Expiry
	}
	for _, u := range with.User {
		p.User = append(p.User, packets.User{Key: u.Name, Value: u.Value})
	}
}

// sizeOf returns the bytes of a packet.
func sizeOf(m *packets.Publish) int64 {
	var b bytes.Buffer
	n, _ := m.WriteTo(&b)
	return n
}

// reserve takes a place in flight and a packet identifier for m. It reports
// false when the connection is lost, or another message was not sent.
func (f *Flight) reserve(m *packets.Publish) bool {
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for m.QoS > 0 && s.inFlight >= s.allowed {
		s.mu.Unlock()
		f.flush() // else what we wait for may be ours
		s.mu.Lock()
		if s.inFlight >= s.allowed && !f.await() {
			return false
		}
	}
	if f.cut || s.gone || f.ctx.Err() != nil {
		return false
	}
	if m.QoS == 0 {
		f.answers = append(f.answers, notSent)
		return true
	}
	m.PacketID = s.expect(waiting{flight: f, at: len(f.answers)})
	f.answers = append(f.answers, noAnswer)
	s.inFlight++
	return true
}

// await waits until an answer came; s.mu is held. It reports false when none
// will come: the connection is lost, ctx has ended, or the other broker has
// not answered for so long that the connection is cut.
func (f *Flight) await() bool {
	s, late := f.s, false
	timer := time.AfterFunc(s.link.wait.answer, func() { s.wake(&late) })
	defer timer.Stop()
	defer context.AfterFunc(f.ctx, func() { s.wake(nil) })()
	before := s.answers
	for s.answers == before && !s.gone && !late && f.ctx.Err() == nil {
		s.cond.Wait()
	}
	if late && s.answers == before && !s.gone {
		s.mu.Unlock()
		s.ended(errNoAnswer)
		s.conn.Close()
		s.mu.Lock()
		return false
	}
	return !s.gone && f.ctx.Err() == nil
}

// flush sends what is not sent yet.
func (f *Flight) flush() {
	if f.packets.Len() == 0 {
		return
	}
	f.s.conn.send(f.packets.Bytes())
	f.packets.Reset()
	if f.s.conn.broken() != nil {
		return
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	for i := f.settled; i < len(f.answers); i++ {
		if f.answers[i] == notSent {
			f.answers[i] = 0
			f.s.link.count.out.Inc()
		}
	}
	f.advance()
}

// answer notes what became of a message; s.mu is held.
func (f *Flight) answer(at int, code byte) {
	f.answers[at] = int16(code)
	f.advance()
}

// advance moves settled on; s.mu is held.
func (f *Flight) advance() {
	for f.settled < len(f.answers) && f.answers[f.settled] >= 0 && !f.isStuck() {
		f.settled++
	}
}

// isStuck reports whether the first message that is not settled has an answer
// that asks for another try; s.mu is held.
func (f *Flight) isStuck() bool {
	return f.settled < len(f.answers) && (f.answers[f.settled] == codeInUse || f.answers[f.settled] == codeQuota)
}

// Settle waits until every message is acknowledged (QoS 0: given to the
// operating system), and returns how many, from the first one on, are done
// with: taken, or refused for good. The error says why the others are not.
func (f *Flight) Settle() (done int, err error) {
	f.flush()
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	for f.settled < len(f.answers) && !f.isStuck() && !f.s.gone && f.await() {
	}
	name := f.s.link.config.Name
	switch {
	case f.settled == len(f.answers) && !f.cut:
		return f.settled, nil
	case f.ctx.Err() != nil:
		return f.settled, context.Cause(f.ctx)
	case f.isStuck():
		return f.settled, fmt.Errorf("broker %s: it takes no more for now: %s", name, reason(byte(f.answers[f.settled])))
	}
	return f.settled, fmt.Errorf("broker %s: %w", name, errLost)
}

// Refused says why the other broker refused message i, counted from 0 over
// those that Publish returned no error for; "" if it did not. It is for
// messages that Settle counts.
func (f *Flight) Refused(i int) string {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if code := f.answers[i]; code >= 0x80 {
		return "the other broker refuses it: " + reason(byte(code))
	}
	return ""
}
