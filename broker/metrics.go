package broker

import (
	"context"
	"log/slog"

	"millrace.dev/millrace/internal/metrics"
)

// counters are what /metrics shows of the broker.
type counters struct {
	messagesIn, bytesIn   *metrics.Counter // from clients
	messagesOut, bytesOut *metrics.Counter // to clients
	published             *metrics.Counter // by pipelines
	ingested              *metrics.Counter // given to the journal
	fanouts               *metrics.Counter // messages that mochi was asked to hand to subscribers
	loginsRefused         *metrics.Counter
	panics                *metrics.Counter
	slow                  *metrics.Counter
	hopsRefused           *metrics.Counter
	oversized             *metrics.Counter

	refusedClients, refusedAddress, acceptErrors          *metrics.Counter
	droppedSlow, droppedSession, droppedJournal, badTopic *metrics.Counter

	denied map[action]*metrics.Counter // by the access rules
}

func newCounters(m *metrics.Registry) *counters {
	refused := func(reason string) *metrics.Counter {
		return m.Counter("millrace_broker_connections_refused_total", "reason", reason)
	}
	dropped := func(reason string) *metrics.Counter {
		return m.Counter("millrace_broker_dropped_total", "reason", reason)
	}
	denied := func(a action) *metrics.Counter {
		return m.Counter("millrace_broker_denied_total", "action", string(a))
	}
	return &counters{
		messagesIn: m.Counter("millrace_broker_messages_in_total"), bytesIn: m.Counter("millrace_broker_bytes_in_total"),
		messagesOut: m.Counter("millrace_broker_messages_out_total"), bytesOut: m.Counter("millrace_broker_bytes_out_total"),
		published:     m.Counter("millrace_broker_published_total"),
		ingested:      m.Counter("millrace_broker_ingested_total"),
		fanouts:       m.Counter("millrace_broker_fanouts_total"),
		loginsRefused: m.Counter("millrace_broker_logins_refused_total"),
		panics:        m.Counter("millrace_broker_panics_total"),
		slow:          m.Counter("millrace_broker_slow_consumers_total"),
		hopsRefused:   m.Counter("millrace_broker_hops_refused_total"),
		oversized:     m.Counter("millrace_broker_oversized_total"),

		refusedClients: refused("clients"), refusedAddress: refused("address"), acceptErrors: refused("system"),
		droppedSlow: dropped("slow_consumer"), droppedSession: dropped("session_full"),
		droppedJournal: dropped("journal"), badTopic: dropped("topic"),

		denied: map[action]*metrics.Counter{
			actPublish: denied(actPublish), actSubscribe: denied(actSubscribe), actDeliver: denied(actDeliver), actWill: denied(actWill),
		},
	}
}

// onlyErrors is the log that mochi gets: what it says below an error repeats
// what clients do, a line a packet.
type onlyErrors struct{ slog.Handler }

func (h onlyErrors) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}

func (h onlyErrors) WithAttrs(a []slog.Attr) slog.Handler { return onlyErrors{h.Handler.WithAttrs(a)} }
func (h onlyErrors) WithGroup(name string) slog.Handler   { return onlyErrors{h.Handler.WithGroup(name)} }
