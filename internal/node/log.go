package node

import (
	"fmt"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
)

// openJournal opens the log that every message goes through.
func (n *Node) openJournal(f *config.File) error {
	if f.Journal.Dir != "" {
		return f.Problem("journal.dir", "the journal on disk is not built yet", "leave it out")
	}
	n.journal = journal.NewMemory(int(f.Journal.Memory))
	return n.readBrokers()
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
