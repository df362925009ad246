package sinks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	answerBytesMax = 64 << 10 // of a server's answer that are read
	wordsBytesMax  = 500      // of it that are quoted
)

// An answer is what a server says that has not taken what it was sent.
type answer struct {
	status int
	header http.Header
	words  string
}

// words returns what a server says: the error of InfluxDB 1 and 3, the message
// of InfluxDB 2, or the beginning of whatever it is.
func words(h http.Header, body []byte) string {
	var said struct {
		Error, Message string
		Data           json.RawMessage // of InfluxDB 3: the first line that is wrong, or all
	}
	text := string(body)
	if json.Unmarshal(body, &said) == nil && said.Error+said.Message != "" {
		text = strings.TrimSpace(said.Error + " " + said.Message + lineError(said.Data))
	} else if e := h.Get("X-Influxdb-Error"); e != "" {
		text = e
	}
	text = string(appendVisible(nil, []byte(strings.Join(strings.Fields(text), " "))))
	if len(text) > wordsBytesMax {
		text = strings.TrimRightFunc(text[:wordsBytesMax], func(r rune) bool { return r == utf8.RuneError }) + "…"
	}
	return text
}

// lineError returns what InfluxDB 3 says of the first line that is wrong.
func lineError(data json.RawMessage) string {
	type line struct {
		Message string `json:"error_message"`
	}
	var one line
	var all []line
	if json.Unmarshal(data, &all) == nil && len(all) > 0 {
		one = all[0]
	} else if json.Unmarshal(data, &one) != nil {
		return ""
	}
	if one.Message == "" {
		return ""
	}
	return ": " + one.Message
}

// String returns the status and the server's words.
func (a answer) String() string {
	s := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	if a.words != "" {
		s += ": " + a.words
	}
	return s
}

// isAboutRows reports whether the server refuses what the rows are, or that
// they are so many.
func (a answer) isAboutRows() bool {
	return a.status == http.StatusBadRequest || a.status == http.StatusRequestEntityTooLarge || a.status == http.StatusUnprocessableEntity
}

// droppedAll reports whether InfluxDB says that it has dropped all the rows:
// "partial write: field type conflict: … dropped=3".
func (a answer) droppedAll(rows int) bool {
	return strings.Contains(a.words, "partial write") && strings.HasSuffix(a.words, " dropped="+strconv.Itoa(rows))
}

// later returns the error for an answer that is not about the rows.
func (a answer) later(f *Influx) error {
	err := fmt.Errorf("%s: %s", f.write, a)
	if a.isMistake() {
		return &Later{Err: fmt.Errorf("%w\n\thint: %s", err, a.hint(f.c.Version)), After: mistakeAfter, Mistake: true}
	}
	return &Later{Err: err, After: retryAfter(a.header, time.Now())}
}

// isMistake reports whether the server will say the same until somebody
// changes its configuration or ours.
func (a answer) isMistake() bool {
	switch a.status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return a.status < 500 || strings.Contains(a.words, "retention policy not found")
}

func (a answer) hint(version int) string {
	switch {
	case strings.Contains(a.words, "retention policy not found"):
		return "create the retention policy, or correct retention_policy"
	case a.status == http.StatusUnauthorized && version > 1:
		return "check token, or token_file"
	case a.status == http.StatusUnauthorized:
		return "check user and password"
	case a.status == http.StatusForbidden:
		return "give the user or token the right to write there"
	case a.status == http.StatusNotFound && version == 2:
		return "check url, org and bucket, or write version: 1 if the server is an InfluxDB 1"
	case a.status == http.StatusNotFound && version == 3:
		return "check url and database, or write version: 1 or 2 if the server is an older InfluxDB"
	case a.status == http.StatusNotFound:
		return "create the database, or check url and database, or write version: 2 if the server is an InfluxDB 2"
	case a.status/100 == 3:
		return "write the address it points to as url: " + a.header.Get("Location")
	}
	return "check url and version; is this an InfluxDB?"
}

// retryAfter returns how long a server asks us to wait [RFC 9110, 10.2.3], 0
// if it does not.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
