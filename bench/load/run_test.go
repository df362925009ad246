package load

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// answer gives every connection a fixed answer to CONNECT, and then ends it.
func answer(t *testing.T, connack string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.ReadFull(c, make([]byte, 10))
				io.WriteString(c, connack)
				c.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().String()
}

func small(t *testing.T) *Load {
	t.Helper()
	l, err := New(Config{Publishers: 2, Messages: 100, Batch: 4, Step: time.Millisecond, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestABrokerThatDoesNotTakePartIsAnError(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"refused":          {"\x20\x02\x00\x05", "20 00 05"},
		"another packet":   {"\xd0\x00", "answers d0"},
		"nothing":          {"", "EOF"},
		"cut":              {"\x20", "unexpected EOF"},
		"endless length":   {"\x20\xff\xff\xff\xff", errLength.Error()},
		"gone after hello": {"\x20\x02\x00\x00", "subscribe to results/#: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := small(t).Run(context.Background(), Options{Addr: answer(t, c.answer), Filter: "results/#"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestALoadThatNobodyAnswersEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, err := small(t).Run(ctx, Options{Addr: answer(t, "\x20\x02\x00\x00\x90\x03\x00\x01\x00"), Filter: "results/#", Begin: cancel})
	if err == nil {
		t.Error("got no error, want one")
	}
}

func TestNobodyThereIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := small(t).Run(context.Background(), Options{Addr: l.Addr().String()}); err == nil {
		t.Error("got no error, want one")
	}
}
