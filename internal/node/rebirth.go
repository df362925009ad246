package node

import (
	"context"
	"log/slog"
	"time"

	"millrace.dev/millrace/internal/decode"
	"millrace.dev/millrace/sinks"
)

// rebirthsMax is how many requests may wait. One more is dropped: a decoder
// asks again while it does not know an edge node.
const rebirthsMax = 256

// rebirths publish requests for birth certificates to Sparkplug edge nodes, so
// that no pipeline waits for the broker.
type rebirths struct {
	to   sinks.Publisher
	log  *slog.Logger
	asks chan edgeNode
}

// An edgeNode is a Sparkplug edge node.
type edgeNode struct{ group, node string }

func newRebirths(to sinks.Publisher, log *slog.Logger) *rebirths {
	return &rebirths{to: to, log: log, asks: make(chan edgeNode, rebirthsMax)}
}

// ask takes a request.
func (r *rebirths) ask(group, node string) {
	select {
	case r.asks <- edgeNode{group, node}:
	default:
	}
}

// run publishes requests until ctx ends.
func (r *rebirths) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-r.asks:
			topic := decode.RebirthTopic(n.group, n.node)
			if err := r.to.Publish([]byte(topic), decode.RebirthCommand(time.Now().UnixMicro()), 0, false, 0); err != nil {
				r.log.Warn("rebirth not asked for", "group", n.group, "node", n.node, "error", err)
				continue
			}
			r.log.Info("asked for rebirth", "group", n.group, "node", n.node)
		}
	}
}
