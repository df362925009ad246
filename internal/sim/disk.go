package sim

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/experimental/sys"
	wazerosys "github.com/tetratelabs/wazero/sys"
)

const sector = 512 // bytes that reach the disk as one

// Weather is how bad things are, as probabilities of each occasion.
type Weather struct {
	PowerCut float64 // at a write or a sync
	Lie      float64 // a sync says yes and does nothing
	SyncFail float64 // a sync fails
}

// Marks count what has happened, so that a run can show that the weather was bad.
type Marks struct {
	Cuts, CutsInSync  int
	LostWrites        int // not synced, and gone with the power
	TornWrites        int // of which some sectors were lost
	LostNames         int // files that were made or renamed, which is gone
	Lies, SyncErrors  int
	Writes, Syncs     int
	WrittenBytes      int64
	Lives, CleanLives int
}

// A Disk is a file system in memory that remembers what would survive a power
// cut: what was synced, and of the rest what chance leaves.
type Disk struct {
	sys.UnimplementedFS
	rand    *rand.Rand
	weather Weather
	marks   *Marks
	root    *inode
	numbers uint64
	trace   func(what, name string, n int64)
}

// An inode is a file or a folder.
type inode struct {
	number uint64
	name   string // when it was made; for the trace
	dir    bool

	data    []byte // of a file
	synced  []byte
	pending []change

	names       map[string]*inode // of a folder
	syncedNames map[string]*inode
	renames     []renaming // not synced yet
}

// A change of a file is a write, or with cut a truncation to at.
type change struct {
	at   int64
	data []byte
	cut  bool
}

// A renaming of an entry of a folder: name now stands for to, or with nil for
// nothing.
type renaming struct {
	name string
	to   *inode
}

// NewDisk returns an empty disk.
func NewDisk(r *rand.Rand, marks *Marks) *Disk {
	d := &Disk{rand: r, marks: marks, trace: func(string, string, int64) {}}
	d.root = d.inode("", true)
	return d
}

func (d *Disk) inode(name string, dir bool) *inode {
	d.numbers++
	n := &inode{number: d.numbers, name: name, dir: dir}
	if dir {
		n.names, n.syncedNames = map[string]*inode{}, map[string]*inode{}
	}
	return n
}

func (n *inode) put(name string, to *inode) {
	if to == nil {
		delete(n.names, name)
	} else {
		n.names[name] = to
	}
	n.renames = append(n.renames, renaming{name, to})
}

func (c change) apply(to []byte) []byte {
	if c.cut {
		if int(c.at) <= len(to) {
			return to[:c.at]
		}
		return append(to, make([]byte, int(c.at)-len(to))...)
	}
	if end := int(c.at) + len(c.data); end > len(to) {
		to = append(to, make([]byte, end-len(to))...)
	}
	copy(to[c.at:], c.data)
	return to
}

// sync makes what is in the inode survive.
func (n *inode) sync() {
	for _, c := range n.pending {
		n.synced = c.apply(n.synced)
	}
	n.pending = nil
	if n.dir {
		n.syncedNames, n.renames = maps.Clone(n.names), nil
	}
}

// chance reports whether something of that probability happens.
func (d *Disk) chance(p float64) bool { return p > 0 && d.rand.Float64() < p }

// powerCut is the exit code with which the guest ends when the power goes.
const powerCut = 99

func (d *Disk) mayCut(inSync bool) {
	if d.chance(d.weather.PowerCut) {
		d.marks.Cuts++
		if inSync {
			d.marks.CutsInSync++
		}
		panic(wazerosys.NewExitError(powerCut))
	}
}

// Crash is what the power cut leaves.
func (d *Disk) Crash() {
	d.crash(d.root, map[*inode]bool{})
}

func (d *Disk) crash(n *inode, seen map[*inode]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	if !n.dir {
		for _, c := range n.pending {
			n.synced = d.survive(n.synced, c)
		}
		n.data, n.pending = slices.Clone(n.synced), nil
		return
	}
	kept := 0
	if len(n.renames) > 0 {
		kept = d.rand.IntN(len(n.renames) + 1)
		d.marks.LostNames += len(n.renames) - kept
	}
	for _, r := range n.renames[:kept] { // in order, as a file system's own journal does
		if r.to == nil {
			delete(n.syncedNames, r.name)
		} else {
			n.syncedNames[r.name] = r.to
		}
	}
	n.names, n.renames = maps.Clone(n.syncedNames), nil
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		d.crash(n.names[name], seen)
	}
}

// survive applies of a change what chance leaves of it: all, nothing, or some
// sectors.
func (d *Disk) survive(to []byte, c change) []byte {
	switch d.rand.IntN(3) {
	case 0:
		d.marks.LostWrites++
		return to
	case 1:
		return c.apply(to)
	}
	if c.cut || c.at%sector+int64(len(c.data)) <= sector {
		return c.apply(to)
	}
	d.marks.TornWrites++
	for from := 0; from < len(c.data); {
		end := min(len(c.data), from+sector-int((c.at+int64(from))%sector))
		if d.rand.IntN(2) == 0 {
			to = change{at: c.at + int64(from), data: c.data[from:end]}.apply(to)
		}
		from = end
	}
	return to
}

// ReadFile returns what a file holds.
func (d *Disk) ReadFile(name string) ([]byte, error) {
	n, err := d.find(name)
	if err != 0 {
		return nil, err
	}
	return n.data, nil
}

// WriteFile makes a file that survives.
func (d *Disk) WriteFile(name string, data []byte) {
	n := d.inode(name, false)
	n.data, n.synced = data, slices.Clone(data)
	d.root.names[name], d.root.syncedNames[name] = n, n
}

func (d *Disk) find(name string) (*inode, sys.Errno) {
	n := d.root
	for part := range strings.SplitSeq(path.Clean(name), "/") {
		if part == "." || part == "" {
			continue
		}
		if !n.dir {
			return nil, sys.ENOTDIR
		}
		if n = n.names[part]; n == nil {
			return nil, sys.ENOENT
		}
	}
	return n, 0
}

// parent returns the folder that a name is in.
func (d *Disk) parent(name string) (*inode, string, sys.Errno) {
	name = path.Clean(name)
	n, err := d.find(path.Dir(name))
	if err == 0 && !n.dir {
		err = sys.ENOTDIR
	}
	return n, path.Base(name), err
}

// OpenFile implements sys.FS.
func (d *Disk) OpenFile(name string, flag sys.Oflag, _ fs.FileMode) (sys.File, sys.Errno) {
	n, err := d.find(name)
	switch {
	case err == sys.ENOENT && flag&sys.O_CREAT != 0:
		dir, base, err := d.parent(name)
		if err != 0 {
			return nil, err
		}
		n = d.inode(name, false)
		dir.put(base, n)
		d.trace("create", name, 0)
	case err != 0:
		return nil, err
	case flag&sys.O_CREAT != 0 && flag&sys.O_EXCL != 0:
		return nil, sys.EEXIST
	case flag&sys.O_DIRECTORY != 0 && !n.dir:
		return nil, sys.ENOTDIR
	}
	f := &file{d: d, n: n, append: flag&sys.O_APPEND != 0}
	if flag&sys.O_TRUNC != 0 && !n.dir {
		f.Truncate(0)
	}
	return f, 0
}

// Stat implements sys.FS.
func (d *Disk) Stat(name string) (wazerosys.Stat_t, sys.Errno) {
	n, err := d.find(name)
	if err != 0 {
		return wazerosys.Stat_t{}, err
	}
	return n.stat(), 0
}

// Lstat implements sys.FS.
func (d *Disk) Lstat(name string) (wazerosys.Stat_t, sys.Errno) { return d.Stat(name) }

func (n *inode) stat() wazerosys.Stat_t {
	s := wazerosys.Stat_t{Ino: wazerosys.Inode(n.number), Mode: 0o600, Nlink: 1, Size: int64(len(n.data))}
	if n.dir {
		s.Mode = fs.ModeDir | 0o700
	}
	return s
}

// Mkdir implements sys.FS.
func (d *Disk) Mkdir(name string, _ fs.FileMode) sys.Errno {
	if _, err := d.find(name); err == 0 {
		return sys.EEXIST
	}
	dir, base, err := d.parent(name)
	if err == 0 {
		dir.put(base, d.inode(name, true))
		d.trace("mkdir", name, 0)
	}
	return err
}

// Chmod implements sys.FS.
func (d *Disk) Chmod(string, fs.FileMode) sys.Errno { return 0 }

// Rename implements sys.FS.
func (d *Disk) Rename(from, to string) sys.Errno {
	n, err := d.find(from)
	if err != 0 {
		return err
	}
	a, old, err := d.parent(from)
	if err != 0 {
		return err
	}
	b, name, err := d.parent(to)
	if err != 0 {
		return err
	}
	d.mayCut(false)
	d.trace("rename", from+" "+to, 0)
	b.put(name, n) // in this order it is never nowhere
	a.put(old, nil)
	return 0
}

// Rmdir implements sys.FS.
func (d *Disk) Rmdir(name string) sys.Errno {
	n, err := d.find(name)
	switch {
	case err != 0:
		return err
	case !n.dir:
		return sys.ENOTDIR
	case len(n.names) > 0:
		return sys.ENOTEMPTY
	}
	return d.Unlink(name)
}

// Unlink implements sys.FS.
func (d *Disk) Unlink(name string) sys.Errno {
	if _, err := d.find(name); err != 0 {
		return err
	}
	dir, base, err := d.parent(name)
	if err == 0 {
		dir.put(base, nil)
		d.trace("unlink", name, 0)
	}
	return err
}

// Utimens implements sys.FS.
func (d *Disk) Utimens(string, int64, int64) sys.Errno { return 0 }

// A file is an open inode.
type file struct {
	sys.UnimplementedFile
	d      *Disk
	n      *inode
	at     int64
	append bool
}

func (f *file) Dev() (uint64, sys.Errno)            { return 1, 0 }
func (f *file) Ino() (wazerosys.Inode, sys.Errno)   { return wazerosys.Inode(f.n.number), 0 }
func (f *file) IsDir() (bool, sys.Errno)            { return f.n.dir, 0 }
func (f *file) IsAppend() bool                      { return f.append }
func (f *file) SetAppend(on bool) sys.Errno         { f.append = on; return 0 }
func (f *file) Stat() (wazerosys.Stat_t, sys.Errno) { return f.n.stat(), 0 }
func (f *file) Utimens(int64, int64) sys.Errno      { return 0 }
func (f *file) Close() sys.Errno                    { return 0 }
func (f *file) Datasync() sys.Errno                 { return f.Sync() }

// Read implements sys.File.
func (f *file) Read(p []byte) (int, sys.Errno) {
	n, err := f.Pread(p, f.at)
	f.at += int64(n)
	return n, err
}

// Pread implements sys.File.
func (f *file) Pread(p []byte, at int64) (int, sys.Errno) {
	switch {
	case f.n.dir:
		return 0, sys.EISDIR
	case at >= int64(len(f.n.data)):
		return 0, 0
	}
	return copy(p, f.n.data[at:]), 0
}

// Write implements sys.File.
func (f *file) Write(p []byte) (int, sys.Errno) {
	if f.append {
		f.at = int64(len(f.n.data))
	}
	n, err := f.Pwrite(p, f.at)
	f.at += int64(n)
	return n, err
}

// Pwrite implements sys.File.
func (f *file) Pwrite(p []byte, at int64) (int, sys.Errno) {
	if f.n.dir {
		return 0, sys.EISDIR
	}
	d := f.d
	d.marks.Writes++
	d.marks.WrittenBytes += int64(len(p))
	d.trace("write", f.n.name, at)
	f.change(change{at: at, data: slices.Clone(p)})
	d.mayCut(false)
	return len(p), 0
}

func (f *file) change(c change) {
	f.n.data = c.apply(f.n.data)
	f.n.pending = append(f.n.pending, c)
}

// offsets have a name here so that vet does not take file for an io.Seeker.
type offsets = int64

// Seek implements sys.File.
func (f *file) Seek(offset offsets, whence int) (int64, sys.Errno) {
	if f.n.dir {
		if offset != 0 || whence != io.SeekStart {
			return 0, sys.EINVAL
		}
		f.at = 0
		return 0, 0
	}
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += int64(len(f.n.data))
	}
	if offset < 0 {
		return 0, sys.EINVAL
	}
	f.at = offset
	return offset, 0
}

// Readdir implements sys.File.
func (f *file) Readdir(n int) ([]sys.Dirent, sys.Errno) {
	if !f.n.dir {
		return nil, sys.EBADF
	}
	names := slices.Sorted(maps.Keys(f.n.names))
	names = names[min(int(f.at), len(names)):]
	if n > 0 {
		names = names[:min(n, len(names))]
	}
	f.at += int64(len(names))
	var all []sys.Dirent
	for _, name := range names {
		one := f.n.names[name]
		all = append(all, sys.Dirent{Ino: wazerosys.Inode(one.number), Name: name, Type: one.stat().Mode.Type()})
	}
	return all, 0
}

// Truncate implements sys.File.
func (f *file) Truncate(size int64) sys.Errno {
	switch {
	case f.n.dir:
		return sys.EISDIR
	case size < 0:
		return sys.EINVAL
	}
	d := f.d
	d.trace("truncate", f.n.name, size)
	f.change(change{at: size, cut: true})
	return 0
}

// Sync implements sys.File.
func (f *file) Sync() sys.Errno {
	d := f.d
	d.marks.Syncs++
	d.trace("sync", f.n.name, int64(len(f.n.pending)))
	d.mayCut(true)
	switch {
	case d.chance(d.weather.SyncFail):
		d.marks.SyncErrors++
		return sys.EIO
	case d.chance(d.weather.Lie):
		d.marks.Lies++
		return 0
	}
	f.n.sync()
	d.mayCut(true)
	return 0
}
