package native

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestReadingsAreScannedWhereverTheirFieldsStand(t *testing.T) {
	for _, p := range []string{
		`{"device":"d7","ts":1767225600000,"temp":21.4}`,
		`{"temp":21.4,"x":null,"ok":true,"n":-1.5e3,"s":"a\"}b","device":"d7","no":false,"ts":1767225600000}`,
		" { \"ts\" : 1767225600000 ,\n\t\"temp\" : 2.14e1 , \"device\" : \"d7\" } \r\n",
		`{"device":"d7","ts":1767225600000,"temp":21.39999999999999999999999999999999}`,
	} {
		var r Reading
		if err := Scan([]byte(p), &r); err != nil || string(r.Device) != "d7" || r.Time != 1767225600000 || r.Temp != 21.4 {
			t.Errorf("%s: got %+v, %v", p, r, err)
		}
	}
}

func TestWhatIsNoReadingIsRefused(t *testing.T) {
	good := `{"device":"d7","ts":1,"temp":21.4}`
	bad := []string{
		`{}`, `[]`, `{"device":"d7","ts":1}`, `{"device":"d7","temp":1}`, `{"ts":1,"temp":1}`,
		`{"device":7,"ts":1,"temp":1}`, `{"device":"d7","ts":"1","temp":1}`, `{"device":"d7","ts":1.5,"temp":1}`,
		`{"device":"d7","ts":1,"temp":"1"}`, `{"device":"d7","ts":1,"temp":null}`, `{"device":"d7","ts":1,"temp":-}`,
		`{"device":"d7","ts":1,"temp":1.}`, `{"device":"d7","ts":1,"temp":1.2.3}`, `{"device":"d7","ts":1,"temp":1e999}`,
		`{"device":"d7","ts":1,"temp":1,}`, `{"device":"d7","ts":1,"temp":1;}`, `{"device":"d7","ts":1,"temp":1}x`,
		`{"device":"d7","ts":1,"temp":1,"x":[1]}`, `{"device":"d7","ts":1234567890123456789,"temp":1}`, `{"device":"d7\`,
	}
	for i := range len(good) {
		bad = append(bad, good[:i])
	}
	for _, p := range bad {
		var r Reading
		if Scan([]byte(p), &r) == nil {
			t.Errorf("%s: got %+v, want an error", p, r)
		}
	}
}

func TestNumbersAreThoseOfEncodingJSON(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		s := strconv.FormatFloat(random.NormFloat64()*1e4, []byte("fge")[random.IntN(3)], random.IntN(20)-1, 64)
		var want float64
		if err := json.Unmarshal([]byte(s), &want); err != nil {
			t.Fatal(err)
		}
		var r Reading
		p := fmt.Sprintf(`{"device":"d","ts":1,"temp":%s}`, s)
		if err := Scan([]byte(p), &r); err != nil || r.Temp != want {
			t.Fatalf("%s: got %v, %v, want %v", p, r.Temp, err, want)
		}
	}
}
