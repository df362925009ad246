package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ, in which Linux counts utime and stime; it is the
// same on every machine we build for (proc_pid_stat(5)).
const ticksPerSecond = 100

// cpuOf returns the CPU time that a process has used: utime and stime, and
// where the kernel tells, the same to the nanosecond, thread by thread. (Go
// and mosquitto end no threads, whose time would be missing there.)
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	coarse, err := parseStat(string(b))
	if err != nil {
		return 0, err
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	var fine time.Duration
	for _, name := range threads {
		b, err := os.ReadFile(name)
		if err != nil {
			return coarse, nil // a thread has ended after all
		}
		spent, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseInt(spent, 10, 64)
		if err != nil {
			return coarse, nil
		}
		fine += time.Duration(ns)
	}
	if fine < coarse-2*time.Second/ticksPerSecond {
		return coarse, nil // the kernel does not tell
	}
	return fine, nil
}

// parseStat finds utime and stime, the 14th and 15th fields. The second one,
// the name in parentheses, may contain anything.
func parseStat(s string) (time.Duration, error) {
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("unexpected /proc/PID/stat: %q", s)
	}
	ticks := int64(0)
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("unexpected /proc/PID/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// memoryOf returns a line of /proc/PID/status in bytes: VmRSS is what is
// resident now, VmHWM the most that ever was.
func memoryOf(pid int, line string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseStatus(string(b), line)
}

func parseStatus(s, line string) (int64, error) {
	for l := range strings.Lines(s) {
		if rest, ok := strings.CutPrefix(l, line+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/PID/status", line)
}
