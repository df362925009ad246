package functions

// Snapshot appends what the stage remembers to dst.
func (s *Stage) Snapshot(dst []byte) ([]byte, error) { return dst, nil }

// Restore takes a snapshot back, on a new stage built alike.
func (s *Stage) Restore(snapshot []byte) error { return nil }
