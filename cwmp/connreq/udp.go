package connreq

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what TR-069 G.2.2.3 asks for
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	udpCopies  = 3 // of a UDP Connection Request, since any may be lost (TR-069 G.2.2.3)
	udpSpacing = 100 * time.Millisecond
	cnonceSize = 8 // bytes; strict CPE have room for 64 characters
)

// UDPOptions say what a UDP works with.
type UDPOptions struct {
	Rules
	Logger     *slog.Logger // nil: slog.Default()
	Registerer prometheus.Registerer
}

// UDP is the socket of TR-069 Annex G: the STUN server of the CPE, and where UDP Connection Requests come from. A NAT lets them through
// only if they come from where the STUN server is, so both are one. It is safe for concurrent use.
type UDP struct {
	opts    UDPOptions
	conn    *net.UDPConn
	stun    *prometheus.CounterVec
	rates   *limiter
	control control

	mu     sync.Mutex
	second int64
	sent   map[string]struct{} // to whom, in that second
}

// NewUDP makes a UDP of a socket, which Close closes.
func NewUDP(conn *net.UDPConn, opts UDPOptions) *UDP {
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	u := &UDP{opts: opts, conn: conn, rates: newLimiter(sourceRate, sourceBurst),
		stun: promauto.With(opts.Registerer).NewCounterVec(prometheus.CounterOpts{Name: "isthmus_stun_requests_total",
			Help: "Datagrams at the STUN server by what became of them."}, []string{"outcome"})}
	u.nameDestination()
	return u
}

// Addr is where the socket listens.
func (u *UDP) Addr() netip.AddrPort {
	a, _ := u.conn.LocalAddr().(*net.UDPAddr)
	return a.AddrPort()
}

// Close ends Serve, and with the socket every Request.
func (u *UDP) Close() error {
	if err := u.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the STUN socket: %w", err)
	}
	return nil
}

// Request sends a UDP Connection Request to t.UDPAddress, in several copies. Nobody answers one: nil says that it was sent. A CPE
// takes only one a second (its ts has to rise), so the next one waits until then.
func (u *UDP) Request(ctx context.Context, t Target) error {
	if t.Username == "" && t.Password == "" {
		return fmt.Errorf("%w: a UDP Connection Request is signed with them and none are configured", ErrAuth)
	}
	host, port := splitAuthority(t.UDPAddress)
	addrs, err := u.opts.resolve(ctx, host, port, t.InformFromLoopback)
	switch {
	case errors.Is(err, ErrNotAllowed) || ctx.Err() != nil:
		return cmp.Or(ctx.Err(), err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	now, err := u.turn(ctx, t)
	if err != nil {
		return err
	}
	text := message(t, addrs[0], now)
	for i := range udpCopies {
		if i > 0 {
			if err := pause(ctx, udpSpacing); err != nil {
				return err
			}
		}
		if _, err := u.conn.WriteToUDPAddrPort(text, addrs[0]); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
	}
	return nil
}

// turn waits until a second in which nothing was sent to t, the same CPE at another address of its NAT included.
func (u *UDP) turn(ctx context.Context, t Target) (time.Time, error) {
	for {
		now := time.Now()
		if u.first(now.Unix(), cmp.Or(t.CPE, t.UDPAddress)) {
			return now, nil
		}
		if err := pause(ctx, now.Truncate(time.Second).Add(time.Second).Sub(now)); err != nil {
			return now, err
		}
	}
}

func (u *UDP) first(second int64, cpe string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.second != second {
		u.second, u.sent = second, make(map[string]struct{})
	}
	_, sent := u.sent[cpe]
	u.sent[cpe] = struct{}{}
	return !sent
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// message is a UDP Connection Request as TR-069 G.2.2.3 has it.
func message(t Target, to netip.AddrPort, now time.Time) []byte {
	var random [4 + cnonceSize]byte
	rand.Read(random[:]) //nolint:errcheck // never fails
	ts := strconv.FormatInt(now.Unix(), 10)
	// Strict CPE take id 0 for none, and some have a signed int for it.
	id := strconv.FormatUint(uint64(binary.BigEndian.Uint32(random[:])>>1|1), 10)
	cn := hex.EncodeToString(random[4:])
	un := strings.ReplaceAll(url.QueryEscape(t.Username), "+", "%20")
	return fmt.Appendf(nil, "GET http://%s?ts=%s&id=%s&un=%s&cn=%s&sig=%s HTTP/1.1\r\nHost: %s\r\n\r\n",
		to, ts, id, un, cn, Signature(t.Password, ts, id, t.Username, cn), to)
}

// Signature is the sig of a UDP Connection Request (TR-069 G.2.2.3), in upper case like the standard's example.
func Signature(password, ts, id, un, cn string) string {
	mac := hmac.New(sha1.New, []byte(password))
	mac.Write([]byte(ts + id + un + cn))
	return strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))
}

// splitAuthority cuts a UDPConnectionRequestAddress, "host:port" or "host"; IPv6 addresses are in brackets, or should be.
func splitAuthority(s string) (host, port string) {
	if host, port, err := net.SplitHostPort(s); err == nil {
		return host, port
	}
	return strings.Trim(s, "[]"), ""
}
