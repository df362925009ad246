// Command guest is what runs in the simulated world: a node, and the devices
// that publish to it over connections that break.
//
//	guest CONFIG go|finish < states
//
// It reads the states of the publishers as JSON, a line each, and writes what
// becomes of their messages: "NAME QOS WHAT NUMBER". With finish the publishers
// send their last message, and when all is acknowledged the node stops; else it
// runs until the power goes.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/node"
	"millrace.dev/millrace/internal/oracle"
)

// A device is a publisher as the world keeps it.
type device struct {
	Name  string
	QoS   byte
	State oracle.State
}

const (
	pause   = 5 * time.Millisecond // between two messages of a publisher
	settle  = 2 * time.Second      // that a life which finishes lasts before it does
	breakIn = 400                  // one of so many reads and writes of a device breaks its connection
)

func main() {
	if err := run(os.Args[1], os.Args[2] == "finish", os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func run(path string, finish bool, in io.Reader, out io.Writer) error {
	file, err := config.Load(path)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	n, err := node.New(ctx, file, node.Options{Stdout: io.Discard, Log: log, Version: "simulated"})
	if err != nil {
		return err
	}
	publishers, err := publishers(in, out, n.Addrs()[0].String())
	if err != nil {
		return err
	}
	serving, end := context.WithCancel(ctx)
	defer end()
	var all sync.WaitGroup
	for _, p := range publishers {
		all.Go(func() { p.Run(serving) })
	}
	if finish {
		go func() {
			time.Sleep(settle)
			for _, p := range publishers {
				p.Stop()
			}
			for !oracle.Done(publishers) {
				time.Sleep(pause)
			}
			end()
			all.Wait()
			stop()
		}()
	}
	return n.Run(ctx, context.Background())
}

func publishers(in io.Reader, out io.Writer, addr string) ([]*oracle.Publisher, error) {
	var mu sync.Mutex
	var all []*oracle.Publisher
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var d device
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			return nil, err
		}
		p := &oracle.Publisher{
			Name: d.Name, QoS: d.QoS, Pause: pause,
			Dial: func(ctx context.Context) (net.Conn, error) { return dial(ctx, addr) },
			Tell: func(e oracle.Event) {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintln(out, d.Name, d.QoS, e.What, e.Number)
			},
		}
		p.Resume(d.State)
		all = append(all, p)
	}
	return all, nil
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &faulty{c}, nil
}

// faulty is a connection that breaks now and then, also in the middle of a
// packet.
type faulty struct{ net.Conn }

var errBroken = errors.New("the network is gone")

func (f *faulty) breaks() bool { return rand.IntN(breakIn) == 0 }

// Read implements net.Conn.
func (f *faulty) Read(p []byte) (int, error) {
	if f.breaks() {
		f.Close()
		return 0, errBroken
	}
	return f.Conn.Read(p)
}

// Write implements net.Conn.
func (f *faulty) Write(p []byte) (int, error) {
	if f.breaks() {
		n, _ := f.Conn.Write(p[:rand.IntN(len(p)+1)])
		f.Close()
		return n, errBroken
	}
	return f.Conn.Write(p)
}
