package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"millrace.dev/millrace/bench/load"
	"millrace.dev/millrace/bench/native"
)

const packetBytesMax = 64 << 10 // of a packet; a client that sends a larger one is disconnected

// A server takes messages from its clients, all into one job, and gives every
// result to the subscribers that want it.
//
//	socket ─▶ buffer ─packets─▶ job ─▶ outbox of a subscriber ─▶ socket
type server struct {
	kind native.Kind

	mu          sync.Mutex // one client at a time, for all that one read brought
	job         *native.Job
	bad         int // payloads that are no readings
	subscribers []*outbox
	topic, json []byte // of the present result
}

func newServer(k native.Kind) *server {
	s := &server{kind: k}
	s.job = native.NewJob(k, s.publish)
	return s
}

// serve takes clients until l is closed, and returns when the last is gone.
func (s *server) serve(l net.Listener) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		clients.Go(func() {
			c := &client{s: s, conn: conn, out: newOutbox(conn)}
			if err := c.run(); err != nil {
				fmt.Fprintf(os.Stderr, "floor: %v: %v\n", conn.RemoteAddr(), err)
			}
		})
	}
}

// publish gives r to the subscribers; mu is held.
func (s *server) publish(r *native.Result) {
	s.topic = append(append(s.topic[:0], native.TopicPrefix...), r.Device...)
	s.json = r.AppendJSON(s.json[:0], s.kind)
	for _, o := range s.subscribers {
		if strings.HasPrefix(string(s.topic), o.prefix) {
			o.publish(s.topic, s.json)
		}
	}
}

func (s *server) subscribe(o *outbox, filter string, qos byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.prefix, o.qos = strings.TrimSuffix(filter, "#"), qos
	s.subscribers = append(s.subscribers, o)
}

func (s *server) forget(o *outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.subscribers {
		if s.subscribers[i] == o {
			s.subscribers = append(s.subscribers[:i], s.subscribers[i+1:]...)
			return
		}
	}
}

// A client is a connection that is read.
type client struct {
	s    *server
	conn net.Conn
	out  *outbox
	acks []byte // answers to what one read brought
}

func (c *client) run() error {
	var writer sync.WaitGroup
	writer.Go(c.out.run)
	defer writer.Wait()
	defer c.out.close()
	defer c.s.forget(c.out)
	buf := make([]byte, packetBytesMax)
	have := 0
	for {
		n, err := c.conn.Read(buf[have:])
		if err != nil {
			return nil // the client is gone
		}
		have += n
		used, err := c.packets(buf[:have])
		if err != nil {
			return err
		}
		if have = copy(buf, buf[used:have]); have == len(buf) {
			return fmt.Errorf("packet larger than %d bytes", packetBytesMax)
		}
		if len(c.acks) > 0 {
			c.out.write(c.acks)
			c.acks = c.acks[:0]
		}
	}
}

// packets deals with the whole packets in p and returns their length.
func (c *client) packets(p []byte) (used int, err error) {
	locked := false
	defer func() {
		if locked {
			c.s.mu.Unlock()
		}
	}()
	for len(p)-used >= 2 {
		n, size := load.Length(p[used+1:])
		if size < 0 {
			return used, errors.New("malformed remaining length")
		}
		end := used + 1 + size + n
		if size == 0 || end > len(p) {
			break
		}
		header, body := p[used], p[used+1+size:end]
		used = end
		if publish := header&0xf0 == load.TypePublish; publish && !locked {
			c.s.mu.Lock()
			locked = true
		} else if !publish && locked {
			c.s.mu.Unlock()
			locked = false
		}
		if err := c.packet(header, body); err != nil {
			return used, err
		}
	}
	return used, nil
}

func (c *client) packet(header byte, body []byte) error {
	switch {
	case header&0xf0 == load.TypePublish:
		return c.message(header, body)
	case header == load.TypeConnect:
		c.acks = append(c.acks, load.TypeConnack, 2, 0, 0)
	case header == load.TypePingreq:
		c.acks = append(c.acks, load.TypePingresp, 0)
	case header == load.TypePuback:
	case header == load.TypeSubscribe:
		if len(body) < 5 || len(body) != 5+int(body[2])<<8+int(body[3]) {
			return errors.New("malformed SUBSCRIBE")
		}
		qos := min(body[len(body)-1], 1)
		c.acks = append(c.acks, load.TypeSuback, 3, body[0], body[1], qos)
		c.s.subscribe(c.out, string(body[4:len(body)-1]), qos)
	default:
		return fmt.Errorf("packet of type %#x", header)
	}
	return nil
}

// message takes a PUBLISH; mu is held.
func (c *client) message(header byte, body []byte) error {
	if len(body) < 2 {
		return errors.New("malformed PUBLISH")
	}
	at := 2 + int(body[0])<<8 + int(body[1])
	if header&6 != 0 {
		if at+2 > len(body) {
			return errors.New("malformed PUBLISH")
		}
		c.acks = append(c.acks, load.TypePuback, 2, body[at], body[at+1])
		at += 2
	}
	if at > len(body) {
		return errors.New("malformed PUBLISH")
	}
	if err := c.s.job.Message(body[at:]); err != nil {
		c.s.bad++
	}
	return nil
}
