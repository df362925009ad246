package torture

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"millrace.dev/millrace/internal/oracle"
	"millrace.dev/millrace/sinks/sinktest"
)

var (
	kills = flag.Int("kills", 50, "times that the node is killed")
	cuts  = flag.Int("cuts", 0, "times that the power is cut; needs root and mkfs.ext4")
	seed  = flag.Uint64("seed", 0, "of when it happens; 0: another each time")
)

const (
	publishersPerQoS = 3
	pause            = 2 * time.Millisecond // between two messages of a publisher
)

// A rig is a node, its publishers, and what they have done.
type rig struct {
	t          *testing.T
	dir        string
	node       *Node
	influx     *sinktest.Server
	disk       *Disk
	rand       *rand.Rand
	publishers []*oracle.Publisher
	end        context.CancelFunc
	all        sync.WaitGroup
}

func newRig(t *testing.T, durability string, withInflux bool, disk *Disk) *rig {
	r := &rig{t: t, dir: t.TempDir(), disk: disk}
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", n)
	r.rand = rand.New(rand.NewPCG(n, 0))
	data := r.dir
	if disk != nil {
		data = disk.Dir
	}
	influx := ""
	if withInflux {
		r.influx = sinktest.StartInflux(t, "oracle")
		influx = r.influx.URL
	}
	addr := freeAddr(t)
	config := filepath.Join(data, "millrace.yaml")
	yaml := oracle.Job{Listen: addr, Durability: durability, Influx: influx}.YAML()
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if disk != nil {
		if err := disk.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	r.node = &Node{Binary: program(t), Config: config, Addr: addr}
	var d net.Dialer
	for i := range publishersPerQoS {
		for qos := byte(1); qos <= 2; qos++ {
			r.publishers = append(r.publishers, &oracle.Publisher{
				Name: fmt.Sprintf("d%d", i), QoS: qos, Pause: pause,
				Dial: func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) },
			})
		}
	}
	return r
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// program builds the program as users get it.
func program(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "millrace")
	cmd := exec.Command("go", "build", "-o", path, "millrace.dev/millrace/cmd/millrace")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// start starts the node, and with the first call the publishers.
func (r *rig) start() {
	r.t.Helper()
	if err := r.node.Start(); err != nil {
		r.t.Fatal(err)
	}
	if r.end != nil {
		return
	}
	var ctx context.Context
	ctx, r.end = context.WithCancel(context.Background())
	r.t.Cleanup(r.end)
	for _, p := range r.publishers {
		r.all.Go(func() { p.Run(ctx) })
	}
}

// live lets the node live for a while. It must not end by itself.
func (r *rig) live() {
	time.Sleep(time.Duration(20+r.rand.IntN(230)) * time.Millisecond)
	if r.node.Ended() {
		r.t.Fatalf("the node ended by itself: %s", r.node.Log())
	}
}

// finish gives the node a quiet moment at last, lets the publishers send their
// last messages and the node deliver, and says what is wrong with the results.
func (r *rig) finish() oracle.Verdict {
	r.t.Helper()
	time.Sleep(2 * time.Second)
	for _, p := range r.publishers {
		p.Stop()
	}
	for end := time.Now().Add(sinktest.Patience); !oracle.Done(r.publishers); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not all that was sent is acknowledged: %s", r.node.Log())
		}
	}
	r.end()
	r.all.Wait()
	if err := r.node.Stop(); err != nil {
		r.t.Fatal(err)
	}
	sent, resent := 0, 0
	for _, p := range r.publishers {
		s := p.State()
		sent, resent = sent+s.Sent, resent+s.Resent
	}
	r.t.Logf("%d messages sent, all acknowledged, %d sent again", sent, resent)
	v, err := oracle.Judge(r.publishers, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(filepath.Dir(r.node.Config), name))
	}, func(line string) { r.t.Log(line) })
	if err != nil {
		r.t.Fatal(err)
	}
	if r.influx != nil {
		v.Add(r.judgeInflux(1))
		v.Add(r.judgeInflux(2))
	}
	return v
}

// judgeInflux compares the windows in InfluxDB, where a result that was
// written twice is there once.
func (r *rig) judgeInflux(qos byte) (v oracle.Verdict) {
	r.t.Helper()
	n := 0
	for device, messages := range oracle.Sent(r.publishers, qos) {
		q := fmt.Sprintf(`SELECT "n","sum","window_start" FROM "q%d" WHERE "device"='%s'`, qos, device)
		body := r.influx.Get("/query", url.Values{"db": {"oracle"}, "q": {q}, "epoch": {"u"}})
		var answer struct {
			Results []struct {
				Series []struct{ Values [][]json.Number }
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil || len(answer.Results) != 1 {
			r.t.Fatalf("%v: %s", err, body)
		}
		got := map[int64]oracle.Count{}
		for _, s := range answer.Results[0].Series {
			for _, values := range s.Values {
				n, _ := values[1].Int64()
				sum, _ := values[2].Float64()
				start, _ := values[3].Int64()
				got[start] = oracle.Count{N: int(n), Sum: int(sum)}
			}
		}
		for start, c := range oracle.Windows(messages) {
			n++
			switch g, ok := got[start]; {
			case !ok:
				v.Missing++
			case g.N < c.N:
				v.Under++
			case g.N > c.N || g.Sum != c.Sum:
				v.Over++
			}
		}
	}
	r.t.Logf("InfluxDB at QoS %d: %d results; %s", qos, n, v)
	return v
}

// throughKills kills the node again and again.
func (r *rig) throughKills(n int) oracle.Verdict {
	r.t.Helper()
	for range n {
		r.start()
		r.live()
		r.node.Kill()
	}
	r.start()
	return r.finish()
}

func TestNothingIsLostOrCountedTwiceInQuietTimes(t *testing.T) {
	if v := newRig(t, "memory", true, nil).throughKills(0); v.Wrong() {
		t.Error(v)
	}
}

// What is in memory alone must be found missing, or the judge sees nothing.
func TestKillsLoseWhatIsInMemory(t *testing.T) {
	if v := newRig(t, "memory", true, nil).throughKills(3); !v.Wrong() {
		t.Error("3 kills lost nothing, although nothing was on disk")
	}
}

func TestNothingIsLostOrCountedTwiceThroughKills(t *testing.T) {
	if v := newRig(t, "durable", true, nil).throughKills(*kills); v.Wrong() {
		t.Errorf("through %d kills: %s", *kills, v)
	}
}

// throughCuts cuts the power again and again.
func (r *rig) throughCuts(n int) oracle.Verdict {
	r.t.Helper()
	must := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	for range n {
		r.start()
		r.live()
		for _, p := range r.publishers {
			p.Cut(true)
		}
		must(r.disk.Cut())
		r.node.Kill()
		must(r.disk.Unmount())
		must(r.disk.Mount())
		for _, p := range r.publishers {
			p.Cut(false)
		}
	}
	r.start()
	return r.finish()
}

func newDisk(t *testing.T) *Disk {
	d, err := NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Unmount() })
	return d
}

func TestNothingIsLostOrCountedTwiceThroughPowerCuts(t *testing.T) {
	if *cuts == 0 {
		t.Skip("needs root: -cuts 20, or make powercut")
	}
	if v := newRig(t, "durable", false, newDisk(t)).throughCuts(*cuts); v.Wrong() {
		t.Errorf("through %d power cuts: %s", *cuts, v)
	}
}

// What acknowledges before it syncs must fail, or the test above shows nothing.
func TestPowerCutsLoseWhatWasNotSynced(t *testing.T) {
	if *cuts == 0 {
		t.Skip("needs root: -cuts 20, or make powercut")
	}
	if v := newRig(t, "relaxed", false, newDisk(t)).throughCuts(*cuts); !v.Wrong() {
		t.Errorf("%d power cuts lost nothing, although nothing was synced in time", *cuts)
	}
}
