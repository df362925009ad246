package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const diskBytes = 512 << 20

// A Disk is an ext4 file system on a loop device whose power can be cut: what
// was not synced is gone. It needs root.
type Disk struct {
	Dir   string // where it is mounted
	image string
}

// NewDisk makes a file system below dir and mounts it.
func NewDisk(dir string) (*Disk, error) {
	d := &Disk{Dir: filepath.Join(dir, "mnt"), image: filepath.Join(dir, "disk.img")}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(diskBytes); err != nil {
		return nil, err
	}
	if err := run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.image); err != nil {
		return nil, err
	}
	return d, d.Mount()
}

// Mount is power on.
func (d *Disk) Mount() error { return run("mount", "-o", "loop,noatime", d.image, d.Dir) }

// Sync writes what is there to the disk.
func (d *Disk) Sync() error { return run("sync", "-f", d.Dir) }

// Cut is power off: the file system takes and writes nothing more, not even
// what waits in its own journal (ioctl EXT4_IOC_SHUTDOWN, NOLOGFLUSH).
func (d *Disk) Cut() error {
	const shutdown, noLogFlush = 0x8004587d, 2
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	defer f.Close()
	how := uint32(noLogFlush)
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&how))); no != 0 {
		return fmt.Errorf("shutdown of %s: %w", d.Dir, no)
	}
	return nil
}

// Unmount waits until nothing uses the file system any more.
func (d *Disk) Unmount() (err error) {
	for range 500 {
		if err = run("umount", d.Dir); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
