package node

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"millrace.dev/millrace/internal/journal"
)

// buildGuest compiles testdata/guest.go.txt, which is no code of ours, with a
// kind of state.
func buildGuest(t *testing.T, state string) string {
	t.Helper()
	dir := t.TempDir()
	source, wasm := filepath.Join(dir, "main.go"), filepath.Join(dir, state+".wasm")
	text, err := os.ReadFile("testdata/guest.go.txt")
	if err == nil {
		err = os.WriteFile(source, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w -X main.state="+state, "-o", wasm, source)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return wasm
}

func TestFunctionsInStockGoSurviveWithoutCodeForIt(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a program")
	}
	story := story(rand.New(rand.NewPCG(3, 3)), 600)
	for _, state := range []string{"slots", "memory"} {
		t.Run(state, func(t *testing.T) {
			checkDeaths(t, story, fmt.Sprintf(`
functions: {memory: 64MiB}
pipelines:
  p:
    from: plant/{line}/{device}
    time: ts
    key: device
    steps: [{function: %s, input: {value: temp}}]
    to: [{stdout: {}}]
`, buildGuest(t, state)))
		})
	}
}

// A proto is a message of Protocol Buffers that is being written.
type proto []byte

func (p proto) number(field, v uint64) proto {
	return binary.AppendUvarint(binary.AppendUvarint(p, field<<3), v)
}

func (p proto) bytes(field uint64, v string) proto {
	return append(binary.AppendUvarint(binary.AppendUvarint(p, field<<3|2), uint64(len(v))), v...)
}

func (p proto) double(field uint64, v float64) proto {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(p, field<<3|1), math.Float64bits(v))
}

// sparkplugStory is births of a device, and data with aliases that only they explain.
func sparkplugStory(messages int) []instant {
	now := int64(1767225600e6)
	var all []instant
	add := func(kind string, seq int, metric proto) {
		now += 50_000
		topic := "spBv1.0/g/" + kind + "/n"
		if kind[0] == 'D' {
			topic += "/d"
		}
		p := proto(nil).number(1, uint64(now/1000)).bytes(2, string(metric)).number(3, uint64(seq%256))
		all = append(all, instant{rec: journal.Record{Arrived: now, Topic: []byte(topic), Payload: p}})
	}
	add("NBIRTH", 0, proto(nil).bytes(1, "bdSeq").number(4, 4).number(11, 7))
	add("DBIRTH", 1, proto(nil).bytes(1, "Temp").number(2, 2).number(4, 10).double(13, 20))
	for i := range messages {
		add("DDATA", i+2, proto(nil).number(2, 2).double(13, 20+float64(i%17)))
	}
	return all
}

func TestBirthCertificatesSurvive(t *testing.T) {
	checkDeaths(t, sparkplugStory(300), `
pipelines:
  p:
    from: spBv1.0/#
    decode: sparkplug
    key: [node, device]
    steps: [{where: type == "DDATA"}, {window: {tumbling: 1s, fields: {mean: mean(Temp), n: count()}}}]
    to: [{stdout: {}}]
`)
}
