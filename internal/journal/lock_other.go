//go:build !unix || aix || solaris || illumos

package journal

import "os"

// lockFile does nothing: this system has no locks that end with the process.
func lockFile(*os.File) (bool, error) { return true, nil }

// syncDir makes the names in a folder last, if the system can.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	_ = f.Sync() // many cannot sync a folder, and need not
	return nil
}
