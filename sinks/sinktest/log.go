package sinktest

import (
	"strings"
	"sync"
)

// A Log keeps what is logged, for a test to look at.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count returns how often something was logged.
func (l *Log) Count(what string) int { return strings.Count(l.String(), what) }
