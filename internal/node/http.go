package node

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"
)

// The limits of the HTTP server.
const (
	httpHeaderTimeout = 5 * time.Second
	httpWriteTimeout  = 30 * time.Second
	httpHeaderMax     = 16 << 10
)

// A Health is what /healthz answers.
type Health struct {
	OK        bool              `json:"ok"`
	Version   string            `json:"version"`
	Pipelines map[string]string `json:"pipelines"` // ok, or why it stopped
}

// Health reports whether every pipeline runs.
func (n *Node) Health() Health {
	h := Health{OK: true, Version: n.opts.Version, Pipelines: map[string]string{}}
	n.now.Load().trees(func(t *Tree) {
		name := t.Pipeline.Config.Name
		h.Pipelines[name] = "ok"
		if err := t.Failed(); err != nil {
			h.OK = false
			h.Pipelines[name] = err.Error()
		}
	})
	return h
}

func (n *Node) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		h := n.Health()
		w.Header().Set("Content-Type", "application/json")
		if !h.OK {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		json.NewEncoder(w).Encode(h)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		n.metrics.WriteTo(w)
	})
	return mux
}

// serveHTTP answers on l until ctx is done.
func (n *Node) serveHTTP(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler: n.handler(), ReadHeaderTimeout: httpHeaderTimeout, WriteTimeout: httpWriteTimeout, MaxHeaderBytes: httpHeaderMax,
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
