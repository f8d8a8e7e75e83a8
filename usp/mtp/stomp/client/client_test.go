package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFrames: what is written is read again; what is no frame is an error and takes no more memory than has come.
func TestFrames(t *testing.T) {
	f := &Frame{Command: "SEND", Headers: []Header{{"a:b", "c\\d\ne\r"}, {"x", ""}}, Body: []byte{0, 1, '\n', 0}}
	got, err := ReadFrame(bufio.NewReader(bytes.NewReader(f.Append([]byte("\n\r\n")))), 100, func() {})
	if err != nil || got.Command != "SEND" || got.Get("a:b") != "c\\d\ne\r" || !bytes.Equal(got.Body, f.Body) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		in   string
		want error
	}{
		{"MESSAGE\nfoo\n\n\x00", ErrMalformed},
		{"\r\r\n\n\x00", ErrMalformed},
		{"MESSAGE\n:foo\n\n\x00", ErrMalformed},
		{"MESSAGE\na:b\\t\n\n\x00", ErrMalformed},
		{"MESSAGE\ncontent-length:x\n\n\x00", ErrMalformed},
		{"MESSAGE\ncontent-length:-1\n\n\x00", ErrMalformed},
		{"MESSAGE\ncontent-length:1\n\nab\x00", ErrMalformed},
		{"MESSAGE\ncontent-length:2000000000\n\nab\x00", ErrTooBig},
		{"MESSAGE\n\n" + strings.Repeat("x", 200) + "\x00", ErrTooBig},
		{"MESSAGE\n" + strings.Repeat("a:b\n", 100) + "\n\x00", ErrTooBig},
		{"MESSAGE\n" + strings.Repeat("a:"+strings.Repeat("b", 1000)+"\n", 20) + "\n\x00", ErrTooBig},
		{strings.Repeat("M", 10_000) + "\n\n\x00", ErrTooBig},
		{"MESSAGE\xff\n\n\x00", ErrMalformed},
		{"MESSAGE\na:b\n", io.ErrUnexpectedEOF},
		{"MESSAGE\ncontent-length:90\n\nab", io.ErrUnexpectedEOF},
		{"\n\n", io.EOF},
	} {
		if _, err := ReadFrame(bufio.NewReader(strings.NewReader(c.in)), 100, func() {}); !errors.Is(err, c.want) {
			t.Errorf("%.40q: %v, want %v", c.in, err, c.want)
		}
	}
	// CONNECTED is not escaped, a repeated header counts once.
	got, err = ReadFrame(bufio.NewReader(strings.NewReader("CONNECTED\r\nserver:a\\b\r\nserver:c\r\nd:x\\cy\r\n\r\n\x00")), 100, func() {})
	if err != nil || got.Get("server") != `a\b` || got.Get("d") != "x:y" {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("MESSAGE\ndestination:/q/a\ncontent-length:3\n\na\x00b\x00\n"))
	f.Add([]byte("\r\n\nERROR\nmessage:no\\cway\n\nwhy\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ReadFrame(bufio.NewReader(bytes.NewReader(b)), 1000, func() {})
		if err != nil {
			return
		}
		if len(got.Body) > 1000 || len(got.Headers) > maxHeaders {
			t.Fatal("over the limits")
		}
		if got.Command == "CONNECTED" {
			return
		}
		kept := Frame{Command: got.Command, Body: got.Body}
		for _, h := range got.Headers {
			if h.Name != "content-length" {
				kept.Headers = append(kept.Headers, h)
			}
		}
		again, err := ReadFrame(bufio.NewReader(bytes.NewReader(kept.Append(nil))), 1000, func() {})
		if err != nil || !bytes.Equal(again.Body, got.Body) {
			t.Fatalf("%v: %q", err, kept.Append(nil))
		}
	})
}

// server is the other side of a connection, which a test plays.
type server struct {
	t  *testing.T
	nc net.Conn
	in *bufio.Reader
}

func (s *server) read() *Frame {
	s.t.Helper()
	f, err := ReadFrame(s.in, 1000, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

func (s *server) write(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.nc, text); err != nil {
		s.t.Error(err)
	}
}

// play runs a test in a bubble, with a connection whose CONNECTED the test has given.
func play(t *testing.T, o Options, connected string, f func(t *testing.T, c *Conn, s *server, down chan error)) {
	synctest.Test(t, func(t *testing.T) {
		own, other := net.Pipe()
		s := &server{t, other, bufio.NewReader(other)}
		defer other.Close()
		down := make(chan error, 1)
		o.Down = func(err error) { down <- err }
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			s.read()
			s.write(connected)
		}()
		c, err := Connect(t.Context(), own, o)
		<-answered
		if err != nil {
			t.Fatal(err)
		}
		defer func() { c.Abort(); synctest.Wait() }()
		f(t, c, s, down)
	})
}

// TestHeartBeats: R-STOMP.8 to R-STOMP.11: what both sides have agreed on is sent and expected.
func TestHeartBeats(t *testing.T) {
	o := Options{Outgoing: 10 * time.Second, Incoming: 20 * time.Second}
	play(t, o, "CONNECTED\nversion:1.2\nheart-beat:15000,30000\n\n\x00", func(t *testing.T, _ *Conn, s *server, down chan error) {
		began := time.Now()
		beats := make(chan time.Duration, 100)
		go func() {
			for {
				if _, err := s.in.ReadByte(); err != nil {
					return
				}
				beats <- time.Since(began)
			}
		}()
		for range 4 { // the server's own: late, but not too late
			time.Sleep(39 * time.Second)
			s.write("\r\n")
		}
		last := time.Duration(0)
		for len(beats) > 0 {
			at := <-beats
			if at-last > 30*time.Second {
				t.Errorf("no heart-beat between %s and %s", last, at)
			}
			last = at
		}
		if last < 120*time.Second {
			t.Errorf("the last heart-beat was at %s", last)
		}
		silent := time.Now()
		if err := <-down; !errors.Is(err, ErrSilent) || time.Since(silent) != 40*time.Second {
			t.Errorf("%v after %s", err, time.Since(silent))
		}
	})
	play(t, Options{}, "CONNECTED\nversion:1.2\nheart-beat:5,5\n\n\x00", func(t *testing.T, _ *Conn, _ *server, down chan error) {
		time.Sleep(time.Hour)
		select {
		case err := <-down:
			t.Errorf("ended: %v", err)
		default:
		}
	})
}

// TestReceipts: what is sent is the server's when its receipt has come, and not known to be when the connection ends or ctx does.
func TestReceipts(t *testing.T) {
	play(t, Options{}, "CONNECTED\nversion:1.2\n\n\x00", func(t *testing.T, c *Conn, s *server, down chan error) {
		sent := make(chan error, 1)
		send := func(ctx context.Context) {
			sent <- c.Send(ctx, &Frame{Command: "SEND", Headers: []Header{{"destination", "/q"}}, Body: []byte("x")})
		}
		go send(t.Context())
		f := s.read()
		synctest.Wait()
		if len(sent) > 0 {
			t.Error("it has not waited for the receipt")
		}
		s.write("RECEIPT\nreceipt-id:" + f.Get("receipt") + "\n\n\x00")
		if err := <-sent; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go send(ctx)
		s.read()
		if err := <-sent; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		go send(t.Context())
		s.read()
		s.write("ERROR\nmessage:no such queue\n\nsorry\x00")
		if err := <-sent; !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), "no such queue") {
			t.Error(err)
		}
		if err := <-down; err == nil || !strings.Contains(err.Error(), "sorry") {
			t.Error(err)
		}
	})
}

// TestRefused: an answer other than CONNECTED, and one that never comes.
func TestRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"ERROR\nmessage:Bad CONNECT\n\nwrong password\x00": "wrong password",
		"CONNECTED\nversion:1.0\n\n\x00":                   "speaks STOMP",
		"MESSAGE\n\n\x00":                                  "MESSAGE",
		"HTTP/1.1 400 Bad Request\r\n\r\n":                 "CONNECTED",
		"":                                                 "deadline",
	} {
		synctest.Test(t, func(t *testing.T) {
			own, other := net.Pipe()
			defer other.Close()
			go func() {
				s := &server{t, other, bufio.NewReader(other)}
				s.read()
				s.write(answer)
			}()
			if _, err := Connect(t.Context(), own, Options{Login: "u", Passcode: "hunter2"}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: %v", answer, err)
			}
		})
	}
}

// TestStalledFrame: a server that stops in the middle of a frame is left.
func TestStalledFrame(t *testing.T) {
	play(t, Options{}, "CONNECTED\nversion:1.2\n\n\x00", func(t *testing.T, _ *Conn, s *server, down chan error) {
		s.write("MESSAGE\ncontent-le")
		began := time.Now()
		if err := <-down; err == nil || time.Since(began) != stallTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestSecrets: a server that repeats what it was sent brings no passcode into an error, and keeps no error large.
func TestSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, other := net.Pipe()
		defer other.Close()
		go func() {
			s := &server{t, other, bufio.NewReader(other)}
			f := s.read()
			f.Command, f.Body = "ERROR", []byte("you sent passcode:hun\\cter2 "+strings.Repeat("x", 10_000))
			f.Headers = append([]Header{{"message", "no " + f.Get("passcode")}}, f.Headers...)
			s.write(string(f.Append(nil)))
		}()
		_, err := Connect(t.Context(), own, Options{Login: "u", Passcode: "hun:ter2"})
		if r := (*Refused)(nil); !errors.As(err, &r) || strings.Contains(err.Error(), "ter2") || len(err.Error()) > 3*maxShown {
			t.Errorf("%v", err)
		}
	})
}

// TestDisconnect: nothing comes after DISCONNECT ("DISCONNECT"), and whoever closes then, it was this side that ended the connection.
func TestDisconnect(t *testing.T) {
	play(t, Options{Outgoing: time.Second}, "CONNECTED\nversion:1.2\nheart-beat:0,1000\n\n\x00", func(t *testing.T, c *Conn, s *server, down chan error) {
		left := make(chan struct{})
		go func() {
			defer close(left)
			c.Disconnect(t.Context())
		}()
		if f := s.read(); f.Command != "DISCONNECT" {
			t.Errorf("%+v", f)
		}
		synctest.Wait()
		if err := c.Send(t.Context(), &Frame{Command: "SEND"}); !errors.Is(err, ErrDown) {
			t.Error(err)
		}
		_ = s.nc.SetReadDeadline(time.Now().Add(closeWait / 2))
		if b, err := s.in.ReadByte(); err == nil {
			t.Errorf("%q after DISCONNECT", b)
		}
		_ = s.nc.Close()
		if err := <-down; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		<-left
	})
}

// TestNoNUL: a header that would end its frame is not sent, and the connection goes on.
func TestNoNUL(t *testing.T) {
	play(t, Options{}, "CONNECTED\nversion:1.2\n\n\x00", func(t *testing.T, c *Conn, _ *server, down chan error) {
		if err := c.Subscribe(t.Context(), "0", "/queue/a\x00SEND"); !errors.Is(err, ErrMalformed) || len(down) > 0 {
			t.Error(err)
		}
	})
}

// TestHeartBeatPace: also after frames of the client's own, no two things that it sends are further apart than half of what was agreed on.
func TestHeartBeatPace(t *testing.T) {
	play(t, Options{Outgoing: 10 * time.Second}, "CONNECTED\nversion:1.2\nheart-beat:0,10000\n\n\x00", func(t *testing.T, c *Conn, s *server, _ chan error) {
		time.Sleep(time.Second)
		sent := make(chan error, 1)
		go func() { sent <- c.Send(t.Context(), &Frame{Command: "SEND"}) }()
		f := s.read()
		s.write("RECEIPT\nreceipt-id:" + f.Get("receipt") + "\n\n\x00")
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if b, err := s.in.ReadByte(); err != nil || b != '\n' || time.Since(began) != 5*time.Second {
			t.Errorf("%q, %v after %s", b, err, time.Since(began))
		}
	})
}
