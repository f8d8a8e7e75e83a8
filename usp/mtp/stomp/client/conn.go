package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options is what a connection is made with.
type Options struct {
	Login, Passcode string        // left out if Login is empty
	Host            string        // virtual host; left out if empty
	Headers         []Header      // more of the STOMP frame's
	Outgoing        time.Duration // heart-beats can be sent so often; 0: none
	Incoming        time.Duration // heart-beats are wanted so often; 0: none
	MaxBody         int           // of a message that comes in; 0: 1 MiB
	// Handle gets each MESSAGE and owns it. It runs on the connection's goroutine, perhaps before Connect returns, and must not wait for the server.
	Handle func(*Frame)
	// Down is called once, when a connection that Connect has returned is over, with what ended it: ErrClosed, ErrSilent, *Refused or an error of the
	// net.Conn or of a frame.
	Down func(error)
}

// What ends a connection, or keeps a frame from being sent.
var (
	ErrClosed = errors.New("stomp: closed from this side")
	ErrSilent = errors.New("stomp: the server sends no heart-beats")
	ErrDown   = errors.New("stomp: connection is down")
	errPanic  = errors.New("stomp: panic while a frame was handled")
)

// Refused is an ERROR frame of the server's, after which it closes.
type Refused struct{ Message, Detail string }

// refused makes an error of an ERROR frame. Servers repeat in it what they don't like, perhaps the frame with the passcode.
func (c *Conn) refused(f *Frame) error {
	words := func(s string) string {
		if p := c.o.Passcode; p != "" {
			s = strings.NewReplacer(escapes.Replace(p), hidden, p, hidden).Replace(s)
		}
		return strings.Clone(s[:min(len(s), maxShown)])
	}
	return &Refused{words(f.Get("message")), words(string(f.Body))}
}

func (r *Refused) Error() string {
	s := "stomp: the server answers ERROR"
	for _, part := range []string{r.Message, r.Detail} {
		if part = strings.TrimSpace(part); part != "" {
			s += fmt.Sprintf(": %q", part)
		}
	}
	return s
}

const (
	// maxShown bounds how much of a server's words is repeated in an error, maxCommand of a word that is no command.
	maxShown       = 200
	maxCommand     = 20
	hidden         = "[secret]"
	defaultMaxBody = 1 << 20
	maxAnswer      = 64 << 10 // of the body of what answers STOMP: an ERROR's may have a stack trace
	readBuffer     = 1 << 10
	connectTimeout = 30 * time.Second
	writeTimeout   = 10 * time.Second
	stallTimeout   = 30 * time.Second // for the rest of a frame that has begun
	closeWait      = 2 * time.Second  // for the receipt of DISCONNECT
	maxUnconfirmed = 64               // frames that wait for their receipts
	tolerance      = 2                // heart-beats may come so many times later than agreed
)

// Conn is a connection. Its methods may be called from any goroutine.
type Conn struct {
	nc     net.Conn
	in     *bufio.Reader
	o      Options
	server Frame // CONNECTED, without its body

	writing chan struct{} // holds a token while a frame is written
	slots   chan struct{} // holds a token for each receipt that is awaited
	over    chan struct{}
	closing atomic.Bool
	leaving atomic.Bool // DISCONNECT is sent, and nothing may be after it
	cause   atomic.Pointer[error]
	wrote   atomic.Int64 // when, in Unix nanoseconds
	every   time.Duration
	beats   *time.Timer // the next heart-beat, nil without

	mu       sync.Mutex
	receipts map[string]chan struct{}
	last     int
}

// Connect makes a STOMP connection of a net.Conn, which it closes if that fails; a *Refused error is the server's. It waits until ctx ends, and half a
// minute at most.
func Connect(ctx context.Context, nc net.Conn, o Options) (*Conn, error) {
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	c := &Conn{nc: nc, in: bufio.NewReaderSize(nc, readBuffer), o: o, writing: make(chan struct{}, 1), slots: make(chan struct{}, maxUnconfirmed),
		over: make(chan struct{}), receipts: map[string]chan struct{}{}}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	err := c.handshake()
	if !stop() {
		err = fmt.Errorf("stomp: waiting for CONNECTED: %w", ctx.Err())
	}
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	incoming := c.negotiate()
	go c.serve(incoming)
	return c, nil
}

func (c *Conn) handshake() error {
	f := &Frame{Command: "STOMP", Headers: []Header{{"accept-version", "1.2"}}}
	if c.o.Host != "" {
		f.Headers = append(f.Headers, Header{"host", c.o.Host})
	}
	if c.o.Login != "" {
		f.Headers = append(f.Headers, Header{"login", c.o.Login}, Header{"passcode", c.o.Passcode})
	}
	if c.o.Outgoing > 0 || c.o.Incoming > 0 {
		f.Headers = append(f.Headers, Header{"heart-beat", fmt.Sprintf("%d,%d", c.o.Outgoing.Milliseconds(), c.o.Incoming.Milliseconds())})
	}
	f.Headers = append(f.Headers, c.o.Headers...)
	if err := f.valid(); err != nil {
		return err
	}
	if _, err := c.nc.Write(f.Append(nil)); err != nil {
		return fmt.Errorf("stomp: sending STOMP: %w", err)
	}
	got, err := ReadFrame(c.in, min(maxAnswer, c.o.MaxBody), func() {})
	switch {
	case err != nil:
		return fmt.Errorf("stomp: waiting for CONNECTED: %w", err)
	case got.Command == "ERROR":
		return c.refused(got)
	case got.Command != "CONNECTED":
		return malformed(fmt.Sprintf("the answer to STOMP is %.*q", maxCommand, got.Command))
	case got.Get("version") != "1.2":
		return malformed(fmt.Sprintf("the server speaks STOMP %.*q", maxCommand, got.Get("version")))
	}
	c.server = Frame{Headers: got.Headers}
	return nil
}

// Server gives a header of CONNECTED.
func (c *Conn) Server(name string) string { return c.server.Get(name) }

// negotiate begins the heart-beats that both sides have agreed on ("Heart-beating") and says how often the server's have to come, 0 if never.
func (c *Conn) negotiate() (incoming time.Duration) {
	can, wants := beats(c.server.Get("heart-beat"))
	if c.o.Outgoing > 0 && wants > 0 {
		c.every = max(c.o.Outgoing, wants)
		c.wrote.Store(time.Now().UnixNano())
		c.mu.Lock()
		c.beats = time.AfterFunc(c.every/tolerance, c.beat)
		c.mu.Unlock()
	}
	if c.o.Incoming > 0 && can > 0 {
		incoming = max(c.o.Incoming, can)
	}
	return incoming
}

// beats reads a heart-beat header: what the server can do and what it wants.
func beats(s string) (can, wants time.Duration) {
	a, b, _ := strings.Cut(s, ",")
	ms := func(s string) time.Duration {
		n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
		if err != nil {
			return 0
		}
		return time.Duration(n) * time.Millisecond
	}
	return ms(a), ms(b)
}

// beat sends a heart-beat if nothing else was sent for half of the time agreed on, and sees to the next.
func (c *Conn) beat() {
	next := c.every / tolerance
	if idle := time.Since(time.Unix(0, c.wrote.Load())); idle < next {
		next -= idle
	} else {
		select {
		case c.writing <- struct{}{}:
			_ = c.put([]byte("\n"))
			<-c.writing
		default: // what is being written serves as well
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing.Load() && !c.leaving.Load() {
		c.beats.Reset(next)
	}
}

func (c *Conn) serve(incoming time.Duration) {
	err := c.read(incoming)
	c.abort(err)
	c.mu.Lock()
	if c.beats != nil {
		c.beats.Stop()
	}
	c.mu.Unlock()
	close(c.over)
	if c.o.Down != nil {
		c.o.Down(*c.cause.Load())
	}
}

func (c *Conn) read(incoming time.Duration) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	for {
		var deadline time.Time
		if incoming > 0 {
			deadline = time.Now().Add(tolerance * incoming)
		}
		if !c.until(deadline) {
			return ErrClosed
		}
		if _, err := c.in.Peek(1); err != nil {
			if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
				return ErrSilent
			}
			return err
		}
		if b, _ := c.in.Peek(1); b[0] == '\n' || b[0] == '\r' { // a heart-beat
			_, _ = c.in.Discard(1)
			continue
		}
		c.until(time.Now().Add(stallTimeout))
		f, err := ReadFrame(c.in, c.o.MaxBody, func() { c.until(time.Now().Add(stallTimeout)) })
		if err != nil {
			return err
		}
		switch f.Command {
		case "MESSAGE":
			if c.o.Handle != nil {
				c.o.Handle(f)
			}
		case "RECEIPT":
			c.confirmed(f.Get("receipt-id"))
		case "ERROR":
			return c.refused(f)
		default:
			return malformed(fmt.Sprintf("a frame %.*q", maxCommand, f.Command))
		}
	}
}

// until sets the deadline of reads, which Disconnect must not be made to forget.
func (c *Conn) until(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing.Load() {
		return false
	}
	_ = c.nc.SetReadDeadline(t)
	return true
}

func (c *Conn) confirmed(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.receipts[id]; ch != nil {
		close(ch)
		delete(c.receipts, id)
		<-c.slots
	}
}

// Send writes a frame and waits for the server's receipt. When ctx ends first nobody knows whether the server has it.
func (c *Conn) Send(ctx context.Context, f *Frame) error {
	if err := f.valid(); err != nil {
		return err
	}
	select {
	case c.slots <- struct{}{}: // until the receipt comes, whoever still waits for it
	case <-c.over:
		return c.gone()
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan struct{})
	c.mu.Lock()
	c.last++
	id := strconv.Itoa(c.last)
	c.receipts[id] = done
	c.mu.Unlock()
	f.Headers = append(f.Headers, Header{"receipt", id})
	if err := c.write(ctx, f); err != nil {
		c.confirmed(id)
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.over:
	}
	select {
	case <-done:
		return nil
	default:
		return c.gone()
	}
}

// Subscribe asks for the messages of a destination, without acknowledgements.
func (c *Conn) Subscribe(ctx context.Context, id, destination string) error {
	return c.Send(ctx, &Frame{Command: "SUBSCRIBE", Headers: []Header{{"id", id}, {"destination", destination}, {"ack", "auto"}}})
}

// Unsubscribe ends a subscription.
func (c *Conn) Unsubscribe(ctx context.Context, id string) error {
	return c.Send(ctx, &Frame{Command: "UNSUBSCRIBE", Headers: []Header{{"id", id}}})
}

// Disconnect ends the connection in order: what was sent has been confirmed, or two seconds or ctx are over.
func (c *Conn) Disconnect(ctx context.Context) {
	cause := ErrClosed
	c.cause.CompareAndSwap(nil, &cause) // the server, too, may close once it has DISCONNECT
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	_ = c.Send(ctx, &Frame{Command: "DISCONNECT"})
	c.abort(ErrClosed)
	<-c.over
}

// Abort drops the connection without a word.
func (c *Conn) Abort() { c.abort(ErrClosed) }

func (c *Conn) abort(cause error) {
	c.cause.CompareAndSwap(nil, &cause)
	c.closing.Store(true)
	_ = c.nc.Close()
}

func (c *Conn) write(ctx context.Context, f *Frame) error {
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-c.over:
		return c.gone()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := c.put(f.Append(nil))
	if f.Command == "DISCONNECT" {
		c.leaving.Store(true)
	}
	return err
}

// put writes; the caller holds the token. What could not be written in full ends the connection.
func (c *Conn) put(b []byte) error {
	if c.closing.Load() || c.leaving.Load() {
		return c.gone()
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.nc.Write(b); err != nil {
		c.abort(err)
		return c.gone()
	}
	c.wrote.Store(time.Now().UnixNano())
	return nil
}

// gone is the error of what comes too late.
func (c *Conn) gone() error {
	if cause := c.cause.Load(); cause != nil {
		return fmt.Errorf("%w: %w", ErrDown, *cause)
	}
	return ErrDown
}
