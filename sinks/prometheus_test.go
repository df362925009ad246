package sinks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"

	"millrace.dev/millrace/pipeline"
)

// protobuf calls f for every field of a message: a varint, a fixed64 or bytes.
func protobuf(t *testing.T, b []byte, f func(number int, v uint64, sub []byte)) {
	t.Helper()
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			t.Fatalf("no varint: %x", b)
		}
		b = b[n:]
		return v
	}
	for len(b) > 0 {
		switch tag := next(); tag & 7 {
		case 0:
			f(int(tag>>3), next(), nil)
		case 1:
			f(int(tag>>3), binary.LittleEndian.Uint64(b), nil)
			b = b[8:]
		case 2:
			n := next()
			f(int(tag>>3), 0, b[:n])
			b = b[n:]
		default:
			t.Fatalf("wire type %d", tag&7)
		}
	}
}

// series returns what a remote write says, in the notation of Prometheus.
func series(t *testing.T, body []byte) (all []string) {
	t.Helper()
	body, err := snappy.Decode(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	protobuf(t, body, func(_ int, _ uint64, timeseries []byte) {
		var labels, samples []string
		protobuf(t, timeseries, func(number int, _ uint64, sub []byte) {
			var text []string
			var bits, ms uint64
			protobuf(t, sub, func(k int, v uint64, s []byte) {
				switch {
				case number == 1:
					text = append(text, string(s))
				case k == 1:
					bits = v
				default:
					ms = v
				}
			})
			if number == 1 {
				labels = append(labels, strings.Join(text, "="))
			} else {
				samples = append(samples, fmt.Sprintf("%v@%d", math.Float64frombits(bits), int64(ms)-second/1000))
			}
		})
		all = append(all, "{"+strings.Join(labels, ",")+"} "+strings.Join(samples, " "))
	})
	return all
}

// receiver keeps what is written; no says why a request is refused.
func receiver(t *testing.T, no func([]string) string) (url string, heard *[]string) {
	heard = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Encoding") != "snappy" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("X-Prometheus-Remote-Write-Version") != "0.1.0" {
			t.Errorf("got %v, %v", err, r.Header)
		}
		all := series(t, body)
		if reason := no(all); reason != "" {
			http.Error(w, reason, http.StatusBadRequest)
			return
		}
		*heard = append(*heard, all...)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	return server.URL, heard
}

func yes([]string) string { return "" }

func newPrometheus(t *testing.T, c PrometheusConfig) *Prometheus {
	t.Helper()
	s, err := NewPrometheus(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRowsBecomeSeries(t *testing.T) {
	url, heard := receiver(t, yes)
	odd := pipeline.Field{Name: "motor.temp-°C", Kind: pipeline.Float}
	s := newPrometheus(t, PrometheusConfig{URL: url, Prefix: "plant_", Labels: []string{"device", "a.line", "n"}})
	b := batch(columns(device, pipeline.Field{Name: "a.line", Kind: pipeline.Text}, odd, count, on, raw),
		[]any{"m1", "x", 1.5, 7, true, "text"}, []any{"m2", "", math.NaN(), nil, nil, nil}, []any{"m1", "x", 2.5, 7, false, nil}, []any{"m1", "x", 3.5, 7, nil, nil})
	b.Time[0], b.Time[2], b.Time[3] = b.Time[2], b.Time[0], b.Time[0]+999 // out of order, and twice in a millisecond
	write(t, s, b)
	want := []string{
		"{__name__=plant_motor_temp___C,a_line=x,device=m1,n=7} 3.5@0 1.5@2", "{__name__=plant_on,a_line=x,device=m1,n=7} 0@0 1@2",
		"{__name__=plant_motor_temp___C,device=m2} NaN@1",
	}
	slices.Sort(*heard)
	slices.Sort(want)
	if !slices.Equal(*heard, want) {
		t.Errorf("got %q, want %q", *heard, want)
	}
}

func TestPrometheusKeepsNumbersAlone(t *testing.T) {
	url, heard := receiver(t, yes)
	var no *Refused
	b := batch(columns(device, temp, raw), []any{"m1", 1.0, nil}, []any{"m1", nil, nil}, []any{"m1", 1.0, "x"})
	if err := newPrometheus(t, PrometheusConfig{URL: url, Labels: []string{"device"}, Fields: []string{"temp", "raw"}}).Write(t.Context(), b); !errors.As(err, &no) || len(no.Rows) != 2 || !strings.Contains(no.Rows[1].Reason, "raw is a text") || len(*heard) != 1 {
		t.Errorf("got %v, %q, want two rows refused", err, *heard)
	}
	if math.IsNaN(promValue(&b.Columns[1], 0)) {
		t.Error("got NaN")
	}
	stale := batch(columns(temp), []any{math.Float64frombits(0x7ff0000000000002)}) // Prometheus' marker of the end of a series
	if got := math.Float64bits(promValue(&stale.Columns[0], 0)); got != 0x7ff8000000000001 {
		t.Errorf("got %x", got)
	}
}

func TestRowsThatComeTooLateAreRefusedAlone(t *testing.T) {
	url, heard := receiver(t, func(all []string) string {
		if strings.Contains(fmt.Sprint(all), " 5@") {
			return "out of order sample"
		}
		return ""
	})
	var no *Refused
	err := newPrometheus(t, PrometheusConfig{URL: url}).Write(t.Context(), numbered(9))
	if !errors.As(err, &no) || len(no.Rows) != 1 || no.Rows[0].Row != 5 || !strings.Contains(no.Rows[0].Reason, "out of order") {
		t.Errorf("got %v, want row 5 refused", err)
	}
	n := 0
	for _, s := range *heard {
		n += strings.Count(s, "@")
	}
	if n != 8 {
		t.Errorf("got %d samples of the others, want 8", n)
	}
}

func TestWhatIsNoReceiverIsRefused(t *testing.T) {
	for _, c := range []PrometheusConfig{{URL: "localhost:9090"}, {URL: "http://h/{a}"}, {URL: "http://h", Labels: []string{"a.b", "a-b"}}, {URL: "http://h", Labels: []string{"__name__"}}} {
		if _, err := NewPrometheus(c); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}

func BenchmarkPrometheus(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	s, err := NewPrometheus(PrometheusConfig{URL: server.URL, Labels: []string{"device", "line"}})
	if err != nil {
		b.Fatal(err)
	}
	rows := typical()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Write(b.Context(), rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows.Rows()), "ns/row")
}
