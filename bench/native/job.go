package native

import (
	"fmt"
	"slices"
)

// The limits of all jobs, in ms of event time and in °C.
const (
	WindowSize = 1000 // of a tumbling window
	Lateness   = 1000 // how long a window waits for stragglers
	Hot        = 30   // job filter passes what is above
	TempMin    = -40  // job main drops what is not above
	TempMax    = 150  // and what is not below
)

// A Kind is one of the jobs.
type Kind uint8

// The jobs. All but Filter keep something for each device.
const (
	Filter Kind = iota + 1 // readings above Hot
	Window                 // mean, minimum, maximum and count of each second
	ZScore                 // readings far from what is normal
	Main                   // plausible readings, Window, and of its means those far from normal
)

// Kinds are all jobs, in the order of the reports.
func Kinds() []Kind { return []Kind{Filter, Window, ZScore, Main} }

// String returns the name by which ParseKind knows the job.
func (k Kind) String() string {
	switch k {
	case Filter:
		return "filter"
	case Window:
		return "window"
	case ZScore:
		return "zscore"
	case Main:
		return "main"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// ParseKind returns the job called name.
func ParseKind(name string) (Kind, error) {
	for _, k := range Kinds() {
		if k.String() == name {
			return k, nil
		}
	}
	return 0, fmt.Errorf("unknown job %q; there are %v", name, Kinds())
}

// A Result is what a job gives out; which fields are set depends on the job.
type Result struct {
	Device string
	Time   int64   // ms: of the reading, or the end of the window
	Temp   float64 // of a reading
	Stats          // of a window
	Score
}

// Stats are the aggregates of a window.
type Stats struct {
	N              int
	Mean, Min, Max float64
}

// A Job does one kind of work over messages in order. It is for one goroutine.
type Job struct {
	Late int // readings whose window had spoken

	kind    Kind
	emit    func(*Result)
	devices map[string]*device
	kept    float64
	reading Reading
	result  Result
}

// A device is what is remembered of one.
type device struct {
	name   string
	latest int64
	panes  []pane // open ones, in order of start
	normal Normal
}

// A pane is one second of one device.
type pane struct {
	start         int64
	n             int
	sum, min, max float64
}

// NewJob returns a job that calls emit for each result, which is only lent.
func NewJob(k Kind, emit func(*Result)) *Job {
	return &Job{kind: k, emit: emit, devices: map[string]*device{}, kept: kept()}
}

// Message takes the payload of a message.
func (j *Job) Message(payload []byte) error {
	r := &j.reading
	if err := Scan(payload, r); err != nil {
		return err
	}
	switch j.kind {
	case Filter:
		if r.Temp > Hot {
			j.result.Device, j.result.Time, j.result.Temp = j.device(r).name, r.Time, r.Temp
			j.emit(&j.result)
		}
	case ZScore:
		d := j.device(r)
		if s := d.normal.Judge(r.Temp, j.kept); s.Anomaly {
			j.result.Device, j.result.Time, j.result.Temp, j.result.Score = d.name, r.Time, r.Temp, s
			j.emit(&j.result)
		}
	case Window:
		j.window(j.device(r), r)
	case Main:
		// A reading that is dropped moves the watermark all the same.
		if d := j.device(r); r.Temp > TempMin && r.Temp < TempMax {
			j.window(d, r)
		}
	}
	return nil
}

func (j *Job) device(r *Reading) *device {
	d := j.devices[string(r.Device)]
	if d == nil {
		d = &device{name: string(r.Device)}
		j.devices[d.name] = d
	}
	d.latest = max(d.latest, r.Time)
	return d
}

// window adds a reading to its pane and closes those whose time is over.
func (j *Job) window(d *device, r *Reading) {
	mark := d.latest - Lateness
	if p := d.pane(r.Time-r.Time%WindowSize, mark); p != nil {
		p.add(r.Temp)
	} else {
		j.Late++
	}
	n := 0
	for ; n < len(d.panes) && d.panes[n].start+WindowSize <= mark; n++ {
		j.close(d, &d.panes[n])
	}
	if n > 0 {
		d.panes = append(d.panes[:0], d.panes[n:]...)
	}
}

// pane finds or opens the pane that begins at start; nil: it has spoken.
func (d *device) pane(start, mark int64) *pane {
	at := len(d.panes)
	for ; at > 0; at-- {
		if p := &d.panes[at-1]; p.start == start {
			return p
		} else if p.start < start {
			break
		}
	}
	if start+WindowSize <= mark {
		return nil
	}
	d.panes = slices.Insert(d.panes, at, pane{start: start})
	return &d.panes[at]
}

func (p *pane) add(x float64) {
	if p.n == 0 {
		p.min, p.max = x, x
	}
	p.n++
	p.sum += x
	p.min, p.max = min(p.min, x), max(p.max, x)
}

func (j *Job) close(d *device, p *pane) {
	r := &j.result
	r.Device, r.Time = d.name, p.start+WindowSize
	r.Stats = Stats{p.n, p.sum / float64(p.n), p.min, p.max}
	if j.kind == Main {
		if r.Score = d.normal.Judge(r.Mean, j.kept); !r.Anomaly {
			return
		}
	}
	j.emit(r)
}
