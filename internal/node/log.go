package node

import (
	"fmt"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
)

// openJournal opens the log that every message goes through.
func (n *Node) openJournal(f *config.File) error {
	c := &f.Journal
	if c.Dir == "" {
		n.journal = journal.NewMemory(int(c.Memory))
		return n.readBrokers()
	}
	d, err := journal.Open(f.Join(c.Dir), journal.Options{
		Commit: c.Commit, Space: int64(c.Space), Memory: int(c.Memory),
		RouteKept: routeKept, RouteAsk: routeAsk, Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("%w\n\thint: journal.dir in %s names the folder", err, f.Path)
	}
	n.journal = d
	n.showJournal(d)
	return n.readBrokers()
}

// showJournal shows in the metrics how a journal on disk does.
func (n *Node) showJournal(d *journal.Disk) {
	for name, of := range map[string]func(journal.Stats) float64{
		"millrace_journal_commits":             func(s journal.Stats) float64 { return float64(s.Commits) },
		"millrace_journal_commit_seconds":      func(s journal.Stats) float64 { return s.CommitTime.Seconds() },
		"millrace_journal_written_bytes":       func(s journal.Stats) float64 { return float64(s.Written) },
		"millrace_journal_kept_bytes":          func(s journal.Stats) float64 { return float64(s.Kept) },
		"millrace_journal_needed_bytes":        func(s journal.Stats) float64 { return float64(s.Needed) },
		"millrace_journal_damaged_bytes":       func(s journal.Stats) float64 { return float64(s.Lost) },
		"millrace_journal_damaged_messages":    func(s journal.Stats) float64 { return float64(s.LostMessages) },
		"millrace_journal_waits_for_disk_room": func(s journal.Stats) float64 { return map[bool]float64{true: 1}[s.Full] },
	} {
		n.metrics.Gauge(name, func() float64 { return of(d.Stats()) })
	}
}

// watchJournal returns why the journal cannot go on, if that happens.
func (n *Node) watchJournal() error {
	select {
	case <-n.serve.Done():
		return nil
	case <-n.journal.Failed():
		return fmt.Errorf("journal: %w\n\thint: what is acknowledged is on disk; start again when the disk is well", n.journal.Err())
	}
}
