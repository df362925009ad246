package decode

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// A spMessage is a Sparkplug B payload in the making; times are ms after the new year.
type spMessage struct{ p []byte }

func payload(at uint64, seq int) *spMessage {
	m := &spMessage{}
	m.p = protowire.AppendVarint(protowire.AppendTag(m.p, 1, protowire.VarintType), uint64(newYear/1000)+at)
	if seq >= 0 {
		m.p = protowire.AppendVarint(protowire.AppendTag(m.p, 3, protowire.VarintType), uint64(seq))
	}
	return m
}

func num(field protowire.Number, x uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), x)
}

func str(field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), s)
}

func dbl(x float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, 13, protowire.Fixed64Type), math.Float64bits(x))
}

func at(ms uint64) []byte { return num(3, uint64(newYear/1000)+ms) }

func (m *spMessage) metric(fields ...[]byte) *spMessage {
	m.p = protowire.AppendBytes(protowire.AppendTag(m.p, 2, protowire.BytesType), slices.Concat(fields...))
	return m
}

const (
	nbirth, ndata, ndeath = "spBv1.0/g/NBIRTH/n", "spBv1.0/g/NDATA/n", "spBv1.0/g/NDEATH/n"
	dbirth, ddata, ddeath = "spBv1.0/g/DBIRTH/n/d", "spBv1.0/g/DDATA/n/d", "spBv1.0/g/DDEATH/n/d"
)

// spDecoder returns a decoder and what it asks for.
func spDecoder(t testing.TB) (*Decoder, *[]string) {
	asked := &[]string{}
	d := newDecoder(t, Config{Format: "sparkplug", Open: true, Key: []string{"node", "device"}, Rebirth: func(group, node string) { *asked = append(*asked, group+"/"+node) }})
	return d, asked
}

func births() []journal.Record {
	node := payload(1, 0).metric(str(1, "bdSeq"), num(4, 4), num(11, 7)).metric(str(1, "Node Control/Rebirth"), num(4, 11), num(14, 0)).metric(str(1, "Uptime"), num(2, 1), num(4, 4), num(11, 100))
	device := payload(2, 1).metric(str(1, "Motor/Temp"), num(2, 2), num(4, 10), dbl(20)).metric(str(1, "State"), num(2, 3), num(4, 12), str(15, "ok")).metric(str(1, "Offset"), num(2, 4), num(4, 1), num(10, uint64(uint32(0xfffffffb))))
	return []journal.Record{sp(nbirth, node), sp(dbirth, device)}
}

func sp(topic string, m *spMessage) journal.Record {
	return journal.Record{Arrived: newYear, Topic: []byte(topic), Payload: m.p}
}

func spRows(d *Decoder, recs ...journal.Record) (rows []string) {
	for _, r := range recs {
		rows = append(rows, rowsOf(d, string(r.Topic), string(r.Payload))...)
	}
	return rows
}

func checkSP(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestBirthCertificatesTellWhatDataMeans(t *testing.T) {
	d, asked := spDecoder(t)
	const levels = `group="g" type=%q node="n" `
	nl := func(kind string) string { return fmt.Sprintf(levels, kind) }
	dl := func(kind string) string { return fmt.Sprintf(levels, kind) + `device="d" ` }
	checkSP(t, spRows(d, births()...), `1 `+nl("NBIRTH")+`Uptime=100`, `2 `+dl("DBIRTH")+`Motor.Temp=20 Offset=-5 State="ok"`)
	checkSP(t, spRows(d, sp(ndata, payload(10, 2).metric(num(2, 1), num(11, 101)))), `10 `+nl("NDATA")+`Uptime=101`)
	checkSP(t, spRows(d, sp(ddata, payload(10, 3).metric(num(2, 2), at(7), dbl(21)).metric(num(2, 3), num(7, 1)).metric(num(2, 4), num(10, 3)))), `7 `+dl("DDATA")+`Motor.Temp=21 Offset=3`)
	kept := payload(20, 4).metric(num(2, 2), at(11), num(5, 1), dbl(1)).metric(num(2, 4), at(11), num(5, 1), num(10, 1)).metric(num(2, 2), at(12), num(5, 1), dbl(2)).metric(num(2, 2), at(20), dbl(3)).metric(num(2, 2), at(21), dbl(4))
	checkSP(t, spRows(d, sp(ddata, kept)), `11 `+dl("DDATA")+`Motor.Temp=1 Offset=1`, `12 `+dl("DDATA")+`Motor.Temp=2`, `20 `+dl("DDATA")+`Motor.Temp=3`, `21 `+dl("DDATA")+`Motor.Temp=4`)
	if len(*asked) != 0 {
		t.Errorf("got %v asked, want nothing", *asked)
	}
	checkSP(t, spRows(d, sp("spBv1.0/g/NCMD/n", payload(0, -1)), sp("spBv1.0/STATE/host", &spMessage{[]byte(`{"online":true}`)})))
	checkSP(t, spRows(d, sp(ddeath, payload(30, 5)), sp(ndeath, payload(31, -1).metric(str(1, "bdSeq"), num(11, 6))), sp(ndeath, payload(32, -1).metric(str(1, "bdSeq"), num(11, 7)))),
		`30 group="g" type="DDEATH" node="n" device="d"`, `0 group="g" type="NDEATH" node="n"`)
}

func TestWhatIsNotKnownIsAskedFor(t *testing.T) {
	d, asked := spDecoder(t)
	data := sp(ddata, payload(3, 2).metric(num(2, 2), dbl(1)))
	checkSP(t, spRows(d, data, data), `dead: payload: no birth certificate of edge node g/n yet`, `dead: payload: no birth certificate of edge node g/n yet`)
	checkSP(t, *asked, "g/n") // once in 10 s
	later := func(r journal.Record, by int64) journal.Record { r.Arrived += by; return r }
	run := func(r journal.Record) int {
		b := d.NewBatch()
		var dead []pipeline.DeadLetter
		d.Decode([]journal.Record{r}, b, &dead)
		return b.Rows()
	}
	run(later(data, rebirthEvery-1))
	checkSP(t, *asked, "g/n")
	run(later(data, rebirthEvery))
	checkSP(t, *asked, "g/n", "g/n")
	spRows(d, births()...)
	if got := run(later(data, 3*rebirthEvery)); got != 1 || len(*asked) != 2 {
		t.Errorf("got %d rows and %v, want one and no question", got, *asked)
	}
	run(later(sp(ddata, payload(3, 3).metric(num(2, 99), dbl(1))), 4*rebirthEvery))
	checkSP(t, *asked, "g/n", "g/n", "g/n")
	if got := run(later(sp(ddata, payload(3, 9).metric(num(2, 2), dbl(1))), 6*rebirthEvery)); got != 1 {
		t.Errorf("got %d rows of a message behind a gap, want 1", got)
	}
	checkSP(t, *asked, "g/n", "g/n", "g/n", "g/n")
	checkSP(t, spRows(d, sp(ddata, payload(3, 10).metric(num(2, 99)))), `dead: payload: metric with the unknown alias 99`)
	for topic, want := range map[string]string{
		"spAv1.0/g/NDATA/n":   "its topic is not one of Sparkplug, spBv1.0/group/type/node/device",
		"spBv1.0/g/NDATA":     "its topic is not one of Sparkplug, spBv1.0/group/type/node/device",
		"spBv1.0/g/DDATA/n":   "its topic is not one of Sparkplug, spBv1.0/group/type/node/device",
		"spBv1.0/g/NDATA/n/d": "its topic is not one of Sparkplug, spBv1.0/group/type/node/device",
		"spBv1.0/g/NFOO/n":    `unknown type of message "NFOO" in its topic`,
	} {
		checkSP(t, spRows(d, sp(topic, payload(1, 1))), "dead: payload: "+want)
	}
	checkSP(t, spRows(d, journal.Record{Topic: []byte(ddata), Payload: []byte("\x12\x05ab")}), "dead: payload: not Sparkplug: it ends too early at byte 2")
}

func TestASnapshotKeepsBirthCertificates(t *testing.T) {
	d, _ := spDecoder(t)
	spRows(d, births()...)
	snapshot, err := d.Snapshot([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	snapshot = bytes.TrimPrefix(snapshot, []byte("before"))
	data := []journal.Record{sp(ddata, payload(3, 2).metric(num(2, 2), dbl(1)).metric(num(2, 4), num(10, 0xff))), sp(ndata, payload(4, 3).metric(num(2, 1), num(11, 5)))}
	other, asked := spDecoder(t)
	if err := other.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	checkSP(t, spRows(other, data...), spRows(d, data...)...)
	if len(*asked) > 0 {
		t.Errorf("got %v asked, want nothing", *asked)
	}
	again, _ := d.Snapshot(nil)
	if same, _ := other.Snapshot(nil); !bytes.Equal(same, again) {
		t.Error("the snapshots of equal decoders differ")
	}
	for i := range snapshot {
		fresh, _ := spDecoder(t)
		if err := fresh.Restore(snapshot[:i]); !errors.Is(err, errSnapshot) {
			t.Fatalf("cut at %d: got %v", i, err)
		}
	}
	plain := newDecoder(t, Config{})
	if s, err := plain.Snapshot(nil); err != nil || len(s) > 0 || plain.Restore(s) != nil || plain.Restore(snapshot) == nil {
		t.Errorf("got %q and %v of a decoder that learns nothing", s, err)
	}
}

func TestWhatIsKnownOfEdgeNodesIsLimited(t *testing.T) {
	d, _ := spDecoder(t)
	f := d.format.(*sparkplugFormat)
	f.metrics = SparkplugMetricsMax - 3
	checkSP(t, spRows(d, births()...)[1:], `dead: payload: more than 262144 metrics`)
	f.metrics = 3
	for i := range SparkplugNodesMax {
		f.nodes[fmt.Sprint(i)] = &edgeNode{}
	}
	checkSP(t, spRows(d, sp("spBv1.0/g/NBIRTH/new", payload(1, 0))), `dead: payload: more than 16384 edge nodes`)
}

func TestARebirthIsAskedForAsTheSpecificationSays(t *testing.T) {
	d := newDecoder(t, Config{Format: "sparkplug", Open: true})
	f := d.format.(*sparkplugFormat)
	command := RebirthCommand(newYear)
	w, next := f.wireField(command, 0, 0)
	metric, end := f.wireField(command, next, 0)
	v, ok := f.metric(metric.data)
	if !ok || end != len(command) || int64(w.bits) != newYear/1000 || string(v.name) != "Node Control/Rebirth" || v.datatype != 11 || v.field != spBool || v.bits != 1 {
		t.Errorf("got %+v of %x", v, command)
	}
	if got := RebirthTopic("g", "n"); got != "spBv1.0/g/NCMD/n" {
		t.Errorf("got %s", got)
	}
}

func FuzzSparkplug(f *testing.F) {
	for _, r := range births() {
		f.Add(string(r.Topic), r.Payload)
	}
	f.Add(ddata, payload(3, 2).metric(num(2, 2), dbl(1)).metric(num(2, 99)).p)
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		d, _ := spDecoder(t)
		b := d.NewBatch()
		var dead []pipeline.DeadLetter
		recs := append(births(), journal.Record{Topic: []byte(topic), Payload: payload}, journal.Record{Topic: []byte(topic), Payload: payload})
		d.Decode(recs, b, &dead)
		for k := range b.Columns {
			if n := b.Columns[k].Rows(); n != b.Rows() {
				t.Fatalf("column %s has %d rows, want %d", b.Columns[k].Name, n, b.Rows())
			}
		}
		snapshot, _ := d.Snapshot(nil)
		if err := newDecoder(t, Config{Format: "sparkplug"}).Restore(snapshot); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzSnapshots(f *testing.F) {
	d, _ := spDecoder(f)
	spRows(d, births()...)
	s, _ := d.Snapshot(nil)
	f.Add(s)
	f.Fuzz(func(t *testing.T, s []byte) { _ = newDecoder(t, Config{Format: "sparkplug"}).Restore(s) })
}
