package node

import (
	"context"
	"fmt"
	"time"

	"millrace.dev/millrace/broker"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/plant"
	"millrace.dev/millrace/pipeline/topics"
)

// simulate publishes the readings of imitated machines to our own broker, as
// an ordinary MQTT client, until ctx is done.
func (n *Node) simulate(ctx context.Context, s *config.Simulate) error {
	topic, err := topics.CompileTemplate(s.Topic)
	if err != nil {
		return n.file.Problem("simulate.topic", err.Error(), "")
	}
	client, err := broker.Dial(ctx, broker.ClientConfig{Address: n.Addrs()[0].String(), ClientID: "millrace-simulated-machines"})
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	defer client.Close()
	machines := plant.Machines(s.Machines, s.Fault, 1)
	t := time.NewTicker(s.Every)
	defer t.Stop()
	start := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			if err := publish(ctx, client, topic, machines, now.Sub(start), now); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("simulate: %w", err)
			}
		}
	}
}

func publish(ctx context.Context, c *broker.Client, topic *topics.Template, machines []*plant.Machine, at time.Duration, now time.Time) error {
	for _, m := range machines {
		name, err := topic.Append(nil, func(level string) ([]byte, bool) {
			switch level {
			case "line":
				return []byte(m.Line), true
			case "device":
				return []byte(m.Device), true
			}
			return nil, false
		})
		if err != nil {
			return err
		}
		if err := c.Publish(ctx, string(name), m.Read(at).AppendJSON(nil, now.UnixMilli()), 0); err != nil {
			return err
		}
	}
	return nil
}
