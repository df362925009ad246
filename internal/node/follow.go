package node

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"millrace.dev/millrace/internal/decode"
	"millrace.dev/millrace/pipeline"
)

// A reading is what a pipeline that reads the results of another makes of
// them: rows with a key and a watermark of its own.
type reading struct {
	key    []pipeline.Field
	at     []int // where they are tried first
	buf    []byte
	dead   []pipeline.DeadLetter
	rows   []int32
	parent *Pipeline
}

// follow builds the source of a pipeline that reads another; nil if what it
// reads is not known.
func (c *compiler) follow(p *Pipeline) *plan {
	cfg := p.Config
	of := c.file.Pipeline(cfg.From.Pipeline)
	if of == nil {
		return nil // it has problems of its own
	}
	parent := c.pipeline(of)
	if !parent.whole {
		return nil
	}
	p.named, p.Schema, p.Open = parent.named, parent.Schema, parent.Open
	if clocked(root(parent).Config) {
		p.marks.Idle = 0
	}
	p.batch = pipeline.NewBatch(p.Schema, p.keys)
	p.reads = &reading{parent: parent}
	for i, name := range cfg.Key {
		at := p.Schema.Index(name)
		if at < 0 {
			path := cfg.Path + ".key"
			if len(cfg.Key) > 1 {
				path = fmt.Sprintf("%s.key[%d]", cfg.Path, i)
			}
			c.problem(path, columnHint(name, p.Schema), "the results of %s have no column %q", parent.Config.Name, name)
			return nil
		}
		p.reads.key = append(p.reads.key, p.Schema[at])
		p.reads.at = append(p.reads.at, at)
	}
	return newPlan(c.file, cfg, p.named, c.functions(cfg), c.lookups(map[string][]string{}, cfg))
}

// root returns the pipeline at whose messages it all begins.
func root(p *Pipeline) *Pipeline {
	for p.reads != nil {
		p = p.reads.parent
	}
	return p
}

// Take sends results of the pipeline that p reads through p; b is only lent
// and not changed.
func (p *Pipeline) Take(b *pipeline.Batch, r pipeline.Results) error {
	s := p.reads
	p.batch.CopyFrom(b)
	p.batch.Keys = p.keys
	s.dead, s.rows = s.dead[:0], s.rows[:0]
	for i := range p.batch.Rows() {
		p.batch.Hop[i] = min(p.batch.Hop[i], math.MaxUint8-1) + 1
		code, wrong := s.code(p, i)
		if wrong != "" {
			s.dead = append(s.dead, pipeline.DeadLetter{Time: b.Time[i], Offset: b.Offset[i], Stage: "from " + s.parent.Config.Name, Reason: wrong})
			continue
		}
		p.batch.Key[i] = code
		s.rows = append(s.rows, int32(i))
	}
	if len(s.dead) > 0 {
		r.Dead(s.dead)
	}
	p.batch.Take(s.rows)
	p.marks.Observe(p.batch)
	return p.chain.Process(p.batch, r)
}

// code returns the code of the key of row i, or why it has none.
func (s *reading) code(p *Pipeline, i int) (code uint32, wrong string) {
	s.buf = s.buf[:0]
	for k, f := range s.key {
		if k > 0 {
			s.buf = append(s.buf, 0)
		}
		from := len(s.buf)
		c := p.batch.Find(f, s.at[k])
		if c == nil || !c.Has(i) {
			return 0, fmt.Sprintf("%s: missing, and it is the key", f.Name)
		}
		s.buf = appendKey(s.buf, c, i)
		if strings.IndexByte(string(s.buf[from:]), 0) >= 0 {
			return 0, fmt.Sprintf("%s: a key may not contain a NUL byte", f.Name)
		}
	}
	if len(s.buf) > decode.KeyBytesMax {
		return 0, fmt.Sprintf("key is %d bytes, the most is %d", len(s.buf), decode.KeyBytesMax)
	}
	code, ok := p.keys.Code(s.buf)
	if !ok {
		return 0, fmt.Sprintf("more than %d keys (keys_max)", p.keys.Max)
	}
	return code, ""
}

func appendKey(dst []byte, c *pipeline.Column, i int) []byte {
	switch c.Kind {
	case pipeline.Float:
		return strconv.AppendFloat(dst, c.Floats[i], 'g', -1, 64)
	case pipeline.Int:
		return strconv.AppendInt(dst, c.Ints[i], 10)
	case pipeline.Bool:
		return strconv.AppendBool(dst, c.Bools[i] != 0)
	}
	return append(dst, c.Text(i)...)
}
