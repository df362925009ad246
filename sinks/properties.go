package sinks

import (
	"fmt"
	"time"

	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

// A PropertyPublisher is a Publisher that can say more than the payload, to
// those who speak MQTT 5.
type PropertyPublisher interface {
	Publisher
	// PublishWith is Publish with properties, which stay the caller's.
	PublishWith(topic, payload []byte, qos byte, retain bool, hop uint8, p *topics.Properties) error
}

// TopicProperties are the MQTT 5 properties of a topic sink.
type TopicProperties struct {
	ContentType   string        // media type of the payload
	ResponseTopic string        // columns in braces
	Expiry        time.Duration // how long subscribers may still get the message; whole seconds; 0 for ever
	User          []Header      // values with columns in braces
	ID            bool          // the user property id: the same for the same result, whenever it is sent again
}

// A properties fills the properties of messages.
type properties struct {
	response *topics.Template // nil for none
	user     []filledHeader
	id       bool
	identity identity
	out      topics.Properties
	name     []byte
	text     []byte
}

// newProperties returns nil if there is nothing to say.
func newProperties(c TopicProperties) (*properties, error) {
	r := &properties{id: c.ID}
	r.out.ContentType, r.out.Expiry = c.ContentType, uint32(min(c.Expiry/time.Second, 1<<32-1))
	for _, u := range c.User {
		l, err := compileLine(u.Value)
		if err != nil {
			return nil, fmt.Errorf("property %s: %w", u.Name, err)
		}
		r.user = append(r.user, filledHeader{u.Name, l})
	}
	if c.ResponseTopic != "" {
		var err error
		if r.response, err = topics.CompileTemplate(c.ResponseTopic); err != nil {
			return nil, fmt.Errorf("response_topic: %w", err)
		}
	}
	if c.ContentType == "" && c.ResponseTopic == "" && c.Expiry == 0 && len(c.User) == 0 && !c.ID {
		return nil, nil
	}
	return r, nil
}

// fill returns the properties of row i of b, valid until the next call.
func (r *properties) fill(t *Topic, b *pipeline.Batch, i int) (*topics.Properties, error) {
	r.out.User = r.out.User[:0]
	if r.id {
		r.text = r.identity.append(r.text[:0], b, i, i+1, t.name, t.payload)
		r.out.User = append(r.out.User, topics.Property{Name: "id", Value: string(r.text)})
	}
	for k := range r.user {
		r.text = r.user[k].line.append(r.text[:0], b, i)
		r.out.User = append(r.out.User, topics.Property{Name: r.user[k].name, Value: string(r.text)})
	}
	if r.response != nil {
		var err error
		if r.name, err = r.response.Append(r.name[:0], t.value); err != nil {
			return nil, fmt.Errorf("response_topic: %w", err)
		}
		r.out.ResponseTopic = string(r.name)
	}
	return &r.out, nil
}
