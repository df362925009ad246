package node

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"millrace.dev/millrace/internal/checkpoint"
)

// A kept is what a pipeline remembers, for one that takes its place: after a
// restart, or when the file has been changed.
type kept struct {
	plan     keptPlan
	marks    []byte // and the keys, in the order of their codes
	decoder  []byte
	memories [][]byte // of plan.Steps; nil: there is none
}

// A keptPlan tells what is in a kept, and what of it can be of use where the
// file is now another. It is JSON in a checkpoint.
type keptPlan struct {
	Key, Time, Streams, Of, Decode string // digests of what the file said
	Steps                          []keptStep
}

// A keptStep is a stage that remembers.
type keptStep struct {
	Stage    string // such as steps[1]
	Kind     string
	Function string `json:",omitempty"`
	Digest   string // of the step as the file had it
	Lost     string `json:",omitempty"` // why there is no memory of it
}

// digest returns a text that is another one for another part of a file.
func digest(part any) string {
	text, err := json.Marshal(part)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return base64.RawStdEncoding.EncodeToString(sum[:12])
}

// planOf returns the plan of a pipeline.
func planOf(p *Pipeline) keptPlan {
	c := p.Config
	plan := keptPlan{Key: digest(c.Key), Time: digest(c.Time), Streams: digest(c.From.Streams), Of: digest(c.From.Pipeline), Decode: digest(c.Decode)}
	for _, m := range p.memories {
		plan.Steps = append(plan.Steps, keptStep{Stage: p.stage(m.step), Kind: m.step.Kind, Function: m.step.Function, Digest: digest(m.step)})
	}
	return plan
}

// remember returns what p remembers.
func remember(p *Pipeline) *kept {
	k := &kept{plan: planOf(p), marks: p.marks.Snapshot(nil, p.keys)}
	if p.decoder != nil {
		k.decoder, _ = p.decoder.Snapshot(nil)
	}
	for i, m := range p.memories {
		memory, err := m.stage.Snapshot(nil)
		if err != nil {
			memory, k.plan.Steps[i].Lost = nil, err.Error()
		}
		k.memories = append(k.memories, memory)
	}
	return k
}

// The sections of a pipeline, behind its name and a colon.
const (
	sectionPlan    = "plan"
	sectionMarks   = "marks"
	sectionDecoder = "decoder"
)

// sections returns what is to be in a checkpoint.
func (k *kept) sections(dst []checkpoint.Section, name string) []checkpoint.Section {
	plan, err := json.Marshal(k.plan)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	add := func(part string, content []byte) {
		dst = append(dst, checkpoint.Section{Name: name + ":" + part, Content: content})
	}
	add(sectionPlan, plan)
	add(sectionMarks, k.marks)
	add(sectionDecoder, k.decoder)
	for i, memory := range k.memories {
		add(fmt.Sprint(i), memory)
	}
	return dst
}

// keptIn returns what sections say of a pipeline; nil: nothing.
func keptIn(all []checkpoint.Section, name string) (*kept, error) {
	content := func(part string) []byte {
		i := slices.IndexFunc(all, func(s checkpoint.Section) bool { return s.Name == name+":"+part })
		if i < 0 {
			return nil
		}
		return all[i].Content
	}
	plan := content(sectionPlan)
	if plan == nil {
		return nil, nil
	}
	k := &kept{marks: content(sectionMarks), decoder: content(sectionDecoder)}
	if err := json.Unmarshal(plan, &k.plan); err != nil {
		return nil, fmt.Errorf("the plan of the checkpoint: %w", err)
	}
	for i := range k.plan.Steps {
		k.memories = append(k.memories, content(fmt.Sprint(i)))
	}
	return k, nil
}

// strange says why nothing of k can be of use to p, or "".
func (k *kept) strange(to keptPlan) string {
	of := k.plan
	switch {
	case of.Key != to.Key:
		return "the key is another"
	case of.Time != to.Time:
		return "the event time is another"
	case of.Streams != to.Streams:
		return "the streams are others"
	case of.Of != to.Of:
		return "it reads from elsewhere"
	}
	return ""
}

// equal reports whether nothing that k is of has changed in p.
func (k *kept) equal(p *Pipeline) bool {
	to := planOf(p)
	return k.strange(to) == "" && k.plan.Decode == to.Decode && slices.Equal(k.plan.Steps, to.Steps)
}
