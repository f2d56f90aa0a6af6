package sandbox

import (
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// message is what goes over the control socket, one a packet, as text:
// "memory" and "left PATH" with a directory, "running", "failed TEXT", "exit
// CODE" from init; "signal NUMBER", "dial ID
// PORT" to it, answered by "dialled ID" with a file, or "refused ID TEXT".
const maxMessage = 8 << 10

// control is one end of the control socket.
type control struct {
	mu   sync.Mutex // one send at a time
	conn *net.UnixConn
}

// socketPair makes the two ends; the second is for the child.
func socketPair() (*control, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making control socket: %w", err)
	}
	child := os.NewFile(uintptr(fds[1]), "control")
	c, err := newControl(os.NewFile(uintptr(fds[0]), "control"))
	if err != nil {
		child.Close()
		return nil, nil, err
	}
	return c, child, nil
}

// newControl takes over f.
func newControl(f *os.File) (*control, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("opening control socket: %w", err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("opening control socket: it is a %T", conn)
	}
	return &control{conn: u}, nil
}

// send sends one message, with a file or nil.
func (c *control) send(file *os.File, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxMessage {
		text = text[:maxMessage]
	}
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, err := c.conn.WriteMsgUnix([]byte(text), rights, nil)
	return err
}

// receive waits for one message and the file that came with it, or nil. An
// error means that the other end is gone.
func (c *control) receive() (string, *os.File, error) {
	buf, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := c.conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return "", nil, err
	}
	if n == 0 {
		return "", nil, net.ErrClosed
	}
	if oobn == 0 {
		return string(buf[:n]), nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return "", nil, fmt.Errorf("reading control socket: %d rights, %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return "", nil, fmt.Errorf("reading control socket: %d files, %w", len(fds), err)
	}
	unix.CloseOnExec(fds[0])
	return string(buf[:n]), os.NewFile(uintptr(fds[0]), "passed"), nil
}

func (c *control) close() { c.conn.Close() }
