package broker

import (
	"net/netip"
	"sync"
	"time"
)

const (
	wrongFree     = 10               // passwords that an address may guess wrong before it has to wait
	wrongWait     = time.Second      // after one more; twice as long after each that follows
	wrongWaitMax  = 5 * time.Minute  //
	wrongKept     = 15 * time.Minute // without a wrong guess an address is forgotten
	guessersMax   = 4096             // addresses remembered
	subnetBitsIP6 = 64               // what one owner of IPv6 addresses has
)

// backoff makes addresses wait that guess passwords. It counts guesses: a
// device that comes back again and again with the same wrong password has
// guessed once, and keeps nobody at its address out.
type backoff struct {
	mu   sync.Mutex
	from map[netip.Addr]guesses
}

// guesses are the wrong ones of an address.
type guesses struct {
	wrong       int
	last, until time.Time // of the last one; when the next may be
}

func newBackoff() *backoff { return &backoff{from: map[netip.Addr]guesses{}} }

// subnet returns what stands for an address.
func subnet(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(subnetBitsIP6); err == nil {
			return p.Addr()
		}
	}
	return a
}

// wait returns how long an address has to wait for its next guess.
func (b *backoff) wait(a netip.Addr, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, b.from[subnet(a)].until.Sub(now))
}

// failed notes a wrong guess.
func (b *backoff) failed(a netip.Addr, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a = subnet(a)
	g, known := b.from[a]
	if known && now.Sub(g.last) >= wrongKept {
		g = guesses{}
	}
	if !known {
		b.makeRoom(now)
	}
	g.wrong++
	g.last = now
	if over := g.wrong - wrongFree; over > 0 {
		g.until = now.Add(min(wrongWaitMax, wrongWait<<min(over-1, 10)))
	}
	b.from[a] = g
}

// makeRoom forgets who has been quiet, or else anybody.
func (b *backoff) makeRoom(now time.Time) {
	if len(b.from) < guessersMax {
		return
	}
	for a, g := range b.from {
		if now.Sub(g.last) >= wrongKept {
			delete(b.from, a)
		}
	}
	for a := range b.from {
		if len(b.from) < guessersMax {
			return
		}
		delete(b.from, a)
	}
}
