package native

import (
	"strconv"
	"time"
)

// TopicPrefix begins the topic of every result; the device follows.
const TopicPrefix = "results/"

// AppendJSON appends the payload that job k publishes for r.
func (r *Result) AppendJSON(dst []byte, k Kind) []byte {
	dst = append(dst, `{"time":"`...)
	dst = time.UnixMilli(r.Time).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(append(dst, `","device":"`...), r.Device...)
	dst = append(dst, '"')
	if k == Filter || k == ZScore {
		dst = float(dst, "temp", r.Temp)
	} else {
		dst = float(dst, "mean", r.Mean)
		dst = float(dst, "low", r.Min)
		dst = float(dst, "high", r.Max)
		dst = strconv.AppendInt(append(dst, `,"n":`...), int64(r.N), 10)
	}
	if k == ZScore || k == Main {
		dst = float(dst, "score", r.Score.Score)
		dst = float(dst, "expected", r.Expected)
	}
	return append(dst, '}')
}

func float(dst []byte, name string, v float64) []byte {
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}
