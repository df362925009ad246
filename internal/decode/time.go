package decode

import "time"

// shifts gives for each unit the power of ten that turns it into µs.
var shifts = map[string]int{"s": 6, "ms": 3, "us": 0, "ns": -3}

// The event times that can be written in RFC 3339: the years 0 to 9999, µs.
var (
	timeMin = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	timeMax = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1
)

// rfc3339 returns the µs since 1970 of a time such as 2026-01-31T15:04:05.25+01:00;
// what is finer than 1 µs is cut off. A time without an offset is one of zone,
// or UTC. It refuses leap seconds.
func rfc3339(t []byte, zone *time.Location) (us int64, ok bool) {
	const layout = "0000-00-00T00:00:00"
	if len(t) < len(layout) {
		return 0, false
	}
	for i := range len(layout) {
		switch layout[i] {
		case '0':
			ok = t[i]-'0' <= 9
		case 'T':
			ok = t[i] == 'T' || t[i] == 't' || t[i] == ' '
		default:
			ok = t[i] == layout[i]
		}
		if !ok {
			return 0, false
		}
	}
	two := func(i int) int64 { return int64(t[i]-'0')*10 + int64(t[i+1]-'0') }
	year, month, day := two(0)*100+two(2), two(5), two(8)
	hour, minute, second := two(11), two(14), two(17)
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	fraction, rest, ok := micros(t[len(layout):])
	seconds := daysSince1970(year, month, day)*86400 + hour*3600 + minute*60 + second
	if len(rest) == 0 {
		return inZone(seconds, zone)*1e6 + fraction, ok
	}
	offset, zoned := offset(rest)
	return (seconds-offset)*1e6 + fraction, ok && zoned
}

// micros reads the fraction of a second, if there is one, and returns what follows.
func micros(t []byte) (us int64, rest []byte, ok bool) {
	if len(t) == 0 || t[0] != '.' {
		return 0, t, true
	}
	i, unit := 1, int64(1e5)
	for ; i < len(t) && t[i]-'0' <= 9; i++ {
		us += int64(t[i]-'0') * unit
		unit /= 10
	}
	return us, t[i:], i > 1
}

// inZone returns the seconds since 1970 of a local time, given as if it were
// UTC. Of an hour that is repeated it takes the one time.Date takes.
func inZone(seconds int64, zone *time.Location) int64 {
	if zone == nil {
		return seconds
	}
	t := time.Unix(seconds, 0).UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, zone).Unix()
}

// offset returns the seconds that local time is ahead, as t says: Z or ±hh:mm.
func offset(t []byte) (seconds int64, ok bool) {
	if len(t) == 1 && t[0]|0x20 == 'z' {
		return 0, true
	}
	if len(t) != 6 || t[3] != ':' || t[0] != '+' && t[0] != '-' {
		return 0, false
	}
	for _, i := range [...]int{1, 2, 4, 5} {
		if t[i]-'0' > 9 {
			return 0, false
		}
	}
	hour, minute := int64(t[1]-'0')*10+int64(t[2]-'0'), int64(t[4]-'0')*10+int64(t[5]-'0')
	seconds = hour*3600 + minute*60
	if t[0] == '-' {
		seconds = -seconds
	}
	return seconds, hour < 24 && minute < 60
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts in years that begin in March, so that the leap day is
// the last day of a year, and in eras of 400 years, which are all alike.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	if year < 0 {
		era = -1
	}
	ofEra := year - era*400
	ofYear := (153*(month-3)+2)/5 + day - 1
	return era*146097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719468
}
