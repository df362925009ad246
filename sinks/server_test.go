package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/sinks"
	"millrace.dev/millrace/sinks/sinktest"
)

// flaky returns a server in front of another that does a third of what it is
// asked, and for the rest has all the excuses there are, which it counts.
func flaky(t *testing.T, to string, r *rand.Rand) (server *httptest.Server, excuses *atomic.Int64) {
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	var mu sync.Mutex
	slow := 0
	excuses = new(atomic.Int64)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		excuse := r.IntN(14)
		if excuse == 4 {
			if slow++; slow > 2 { // each costs the time of a request
				excuse = 5
			}
		}
		mu.Unlock()
		if excuse > 0 && excuse < 7 {
			excuses.Add(1)
		}
		if bytes.Count(body, []byte("\n")) > 200 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		switch excuse {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			w.WriteHeader(http.StatusInternalServerError)
		case 4: // slow, for longer than a request may take
			<-req.Context().Done()
		case 5: // a reset instead of an answer
			panic(http.ErrAbortHandler)
		case 6: // the rows are written, the answer is lost
			proxy.ServeHTTP(httptest.NewRecorder(), req)
			panic(http.ErrAbortHandler)
		default:
			proxy.ServeHTTP(w, req)
		}
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(server.Close)
	return server, excuses
}

// readings returns rows from..to of a table of two columns; v is a text in
// the rows of bad.
func readings(from, to int, bad ...int) *pipeline.Batch {
	b := pipeline.NewBatch(pipeline.Schema{{Name: "id", Kind: pipeline.Text}, {Name: "v", Kind: pipeline.Int}, {Name: "v", Kind: pipeline.Text}}, nil)
	for i := from; i < to; i++ {
		b.AppendRow(pipeline.Row{Time: sinktest.Begin + int64(i)*1000, Offset: uint64(i)})
		b.Columns[0].AppendText([]byte(strconv.Itoa(i % 10)))
		if slices.Contains(bad, i) {
			b.Columns[1].AppendNull()
			b.Columns[2].AppendText([]byte("n/a"))
		} else {
			b.Columns[1].AppendInt(int64(i))
			b.Columns[2].AppendNull()
		}
	}
	return b
}

func TestEveryRowIsOnceInInfluxWhateverGoesWrong(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	server := sinktest.StartInflux(t, "plant")
	front, excuses := flaky(t, server.URL, rand.New(rand.NewPCG(seed, 1)))
	s, err := sinks.NewInflux(sinks.InfluxConfig{URL: front.URL, Database: "plant", Measurement: "m", Tags: []string{"id"}, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := retried(t, s, readings(0, 1)); err != nil { // v is an integer from now on
		t.Fatal(err)
	}
	var letters []pipeline.DeadLetter
	log := &sinktest.Log{}
	d := sinks.NewDelivery(s, sinks.DeliveryConfig{
		Sink: "history", RowsMax: 300, Linger: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil)),
		Dead: func(l []pipeline.DeadLetter) { letters = append(letters, l...) },
	})
	d.RetryWithin(5 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { d.Run(ctx) })
	const rows = 2400
	bad := []int{1234, 1235, 2001}
	for i := 1; i < rows; {
		n := min(1+r.IntN(60), rows-i)
		d.Push(readings(i, i+n, bad...))
		i += n
		if i%1000 < n {
			server.Kill()
			d.Push(readings(i-n, i, bad...)) // again, as after a crash
			server.Start()
		}
		time.Sleep(time.Millisecond)
	}
	long, stop := context.WithTimeout(ctx, sinktest.Patience)
	defer stop()
	if err := d.Drain(long); err != nil {
		t.Fatalf("%v:\n%s", err, log)
	}
	if n := excuses.Load(); n < 3 || log.Count("sink unreachable") == 0 || log.Count("sink recovered") == 0 {
		t.Errorf("got %d excuses, log %s, want it to have been hard", n, log)
	}
	cancel()
	run.Wait()
	seen := map[string]int{}
	for _, row := range server.Rows("plant", "m") {
		seen[row["v"]]++
	}
	for i := range rows {
		want := 1
		if slices.Contains(bad, i) {
			want = 0
		}
		if n := seen[strconv.Itoa(i)]; n != want {
			t.Errorf("row %d: got it %d times, want %d", i, n, want)
		}
	}
	dead := map[uint64]bool{}
	for _, l := range letters {
		dead[l.Offset] = true
		if !strings.Contains(l.Reason, "field type conflict") || !bytes.Contains(l.Payload, []byte(`"v":"n/a"`)) {
			t.Errorf("got %s, %s, want the server's words", l.Reason, l.Payload)
		}
	}
	if len(dead) != len(bad) || len(seen) != rows-len(bad) {
		t.Errorf("got dead letters of rows %v and %d rows, want %v and %d", dead, len(seen), bad, rows-len(bad))
	}
}

// retried writes until it works.
func retried(t *testing.T, s sinks.Sink, b *pipeline.Batch) (err error) {
	for range 1000 {
		if err = s.Write(t.Context(), b); err == nil {
			return nil
		}
	}
	return err
}

func TestInfluxSaysWhatIsWrongWithTheConfiguration(t *testing.T) {
	server := sinktest.StartInflux(t, "plant")
	for _, c := range []struct {
		c    sinks.InfluxConfig
		want string
	}{
		{sinks.InfluxConfig{Database: "nothing"}, "database not found"},
		{sinks.InfluxConfig{Database: "plant", RetentionPolicy: "nothing"}, "retention policy not found"},
		{sinks.InfluxConfig{Version: 2, Org: "o", Bucket: "plant"}, "version: 1"},
	} {
		c.c.URL, c.c.Measurement, c.c.Tags = server.URL, "m", []string{"id"}
		s, err := sinks.NewInflux(c.c)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Write(t.Context(), readings(0, 2))
		var later *sinks.Later
		if !errors.As(err, &later) || !later.Mistake || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("got %v, want a mistake, %s", err, c.want)
		}
	}
}

func TestInfluxStoresKeysWithEveryMeaning(t *testing.T) {
	server := sinktest.StartInflux(t, "plant")
	s, err := sinks.NewInflux(sinks.InfluxConfig{URL: server.URL, Database: "plant", Measurement: "a b,c=d", Tags: []string{"t,a g="}})
	if err != nil {
		t.Fatal(err)
	}
	const value = ` x,y=z\"w '`
	b := pipeline.NewBatch(pipeline.Schema{{Name: "t,a g=", Kind: pipeline.Text}, {Name: "f,i =e", Kind: pipeline.Float}, {Name: `q"'`, Kind: pipeline.Text}}, nil)
	b.AppendRow(pipeline.Row{Time: sinktest.Begin})
	b.Columns[0].AppendText([]byte(value))
	b.Columns[1].AppendFloat(1e-7)
	b.Columns[2].AppendText([]byte(value + `\`))
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]sinktest.Row{{"t,a g=": value, "f,i =e": "1e-7", `q"'`: value + `\`}})
	if got := strings.ReplaceAll(fmt.Sprint(server.Rows("plant", "a b,c=d")), "1e-07", "1e-7"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
