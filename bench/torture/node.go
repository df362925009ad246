package torture

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"
)

// readyMax is how long a node may take to recover and listen.
const readyMax = time.Minute

// A Node is a millrace that runs as a process of its own.
type Node struct {
	Binary, Config, Addr string

	cmd  *exec.Cmd
	mu   sync.Mutex
	log  bytes.Buffer
	over chan struct{} // closed when the process has ended
}

// Start starts the process and returns when it takes connections.
func (n *Node) Start() error {
	n.cmd = exec.Command(n.Binary, "run", n.Config)
	n.cmd.Stderr = n
	n.over = make(chan struct{})
	if err := n.cmd.Start(); err != nil {
		return err
	}
	go func() {
		n.cmd.Wait()
		close(n.over)
	}()
	for end := time.Now().Add(readyMax); time.Now().Before(end); {
		if c, err := net.Dial("tcp", n.Addr); err == nil {
			return c.Close()
		}
		select {
		case <-n.over:
			return fmt.Errorf("the node ended: %s", n.Log())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return fmt.Errorf("the node does not listen after %s: %s", readyMax, n.Log())
}

// Kill ends the process as kill -9 does.
func (n *Node) Kill() {
	n.cmd.Process.Kill()
	<-n.over
}

// Stop ends the process as an operator does, and tells whether it went well.
func (n *Node) Stop() error {
	if err := n.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case <-n.over:
	case <-time.After(readyMax):
		n.Kill()
		return fmt.Errorf("the node does not stop: %s", n.Log())
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the node ended with %d: %s", code, n.Log())
	}
	return nil
}

// Ended reports whether the process has ended by itself.
func (n *Node) Ended() bool {
	select {
	case <-n.over:
		return true
	default:
		return false
	}
}

// logMax is how much of the end of the log is kept.
const logMax = 64 << 10

// Write implements io.Writer, for the log.
func (n *Node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log.Write(p)
	if over := n.log.Len() - logMax; over > 0 {
		n.log.Next(over)
	}
	return len(p), nil
}

// Log returns the end of what the node has logged.
func (n *Node) Log() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.String()
}
