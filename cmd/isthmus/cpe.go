package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/cwmp/xmpp"
)

// cpeCmd runs simulated CPE until a signal.
type cpeCmd struct {
	ACS          string        `name:"acs" required:"" placeholder:"URL" help:"URL of the ACS."`
	Count        int           `default:"1" help:"How many CPE (${default})."`
	Rate         perSecond     `placeholder:"N/s" help:"How many are switched on per second; all at once if left out."`
	Data         string        `placeholder:"FILE.csv" help:"Parameter dump of a real device (GenieACS's CSV export); a Device:2 gateway if left out."`
	TR098        bool          `name:"tr098" help:"An InternetGatewayDevice:1 gateway in place of a Device:2 one."`
	OUI          string        `name:"oui" help:"OUI in the DeviceId."`
	ProductClass string        `help:"ProductClass in the DeviceId."`
	Serial       string        `help:"SerialNumber of a single CPE."`
	SerialFormat string        `placeholder:"FORMAT" help:"SerialNumbers of a fleet: a format with one number, such as SIM%%06d."`
	Periodic     time.Duration `placeholder:"DURATION" help:"PeriodicInformInterval."`
	Username     string        `help:"User name for the ACS."`
	PasswordFile string        `placeholder:"FILE" help:"File with the password for the ACS."`
	CAFile       string        `name:"ca-file" placeholder:"FILE" help:"CA certificates for an https ACS; the system's if left out."`
	CertFile     string        `placeholder:"FILE" help:"Client certificate for an https ACS that asks for one."`
	KeyFile      string        `placeholder:"FILE" help:"Its key."`
	ConnReqUser  string        `name:"connreq-username" help:"User name asked of Connection Requests."`
	ConnReqFile  string        `name:"connreq-password-file" placeholder:"FILE" help:"File with the password asked of Connection Requests."`
	ConnReq      string        `name:"connreq-listen" default:"127.0.0.1:0" placeholder:"ADDR" help:"Where Connection Requests are taken (${default})."`
	STUN         string        `name:"stun" placeholder:"ADDR" help:"STUN server, host:port: UDP Connection Requests are taken from there."`
	STUNUser     string        `name:"stun-username" help:"STUNUsername."`
	STUNFile     string        `name:"stun-password-file" placeholder:"FILE" help:"File with the STUNPassword."`
	XMPPJID      string        `name:"xmpp-jid" placeholder:"JID" help:"Account for XMPP Connection Requests."`
	XMPPServer   string        `name:"xmpp-server" placeholder:"ADDR" help:"Its server; the JID's domain if left out."`
	XMPPFile     string        `name:"xmpp-password-file" placeholder:"FILE" help:"File with its password."`
	Duration     time.Duration `help:"End after this time; a signal ends it anyway."`
	Verbose      bool          `short:"v" help:"With a single CPE: print every message."`
	LogLevel     string        `enum:"debug,info,warn,error" default:"warn" help:"What is logged (${default})."`
}

// roomyGC is the garbage collector's percentage of a fleet: its trees stay, and to look at them again for each few answers takes a quarter of the processors that
// the ACS may need.
const roomyGC = 400

func (c *cpeCmd) Run(a *app) error {
	if c.Count > 1 && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(roomyGC)
	}
	fleet, err := c.fleet(a)
	if err != nil {
		return err
	}
	defer fleet.Listener.Close()
	ctx, stop := signal.NotifyContext(a.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	if c.Count == 1 && c.SerialFormat == "" {
		return c.one(ctx, a, fleet.Config)
	}
	stats, err := cpe.RunFleet(ctx, fleet)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d sessions, %d failed, %d RPCs from the ACS; session p50 %s, p99 %s, max %s\n",
		stats.Sessions, stats.Failures, stats.RPCs, stats.P50, stats.P99, stats.Max)
	if stats.Sessions == stats.Failures {
		return fmt.Errorf("no session with %s succeeded: is that the URL of an ACS? --log-level debug says more", c.ACS)
	}
	return nil
}

func (c *cpeCmd) one(ctx context.Context, a *app, cfg cpe.Config) error {
	if c.Verbose {
		cfg.Observe = func(x cpe.Exchange) {
			from := "CPE -> ACS"
			if x.FromACS {
				from = "CPE <- ACS"
			}
			fmt.Fprintln(a.stdout, strings.TrimRight(fmt.Sprintf("%s  %s %s", from, x.RPC, x.Summary), " "))
		}
	}
	one := cpe.New(cfg)
	if err := one.Run(ctx); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d sessions, %d failed\n", one.Sessions(), one.Failures())
	if one.Sessions() == one.Failures() {
		return fmt.Errorf("no session with %s succeeded: is that the URL of an ACS? --log-level debug says more", c.ACS)
	}
	return nil
}

func (c *cpeCmd) fleet(a *app) (f cpe.FleetConfig, err error) {
	if c.Count < 1 || c.Rate < 0 {
		return f, fmt.Errorf("--count is 1 or more, --rate 0 or more: %w", errUse)
	}
	if u, err := url.Parse(c.ACS); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return f, fmt.Errorf("--acs %q is no URL of an ACS, such as http://127.0.0.1:7547/: %w", c.ACS, errUse)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return f, fmt.Errorf("--cert-file and --key-file belong together: %w", errUse)
	}
	if c.Serial != "" && (c.Count > 1 || c.SerialFormat != "") {
		return f, fmt.Errorf("--serial is for a single CPE, use --serial-format: %w", errUse)
	}
	if c.XMPPJID != "" && (c.Count > 1 || c.SerialFormat != "") {
		return f, fmt.Errorf("--xmpp-jid is for a single CPE: %w", errUse)
	}
	if c.SerialFormat != "" && strings.Contains(fmt.Sprintf(c.SerialFormat, 1), "%!") {
		return f, fmt.Errorf("--serial-format %q needs exactly one number, such as SIM%%06d: %w", c.SerialFormat, errUse)
	}
	f = cpe.FleetConfig{Count: c.Count, Rate: float64(c.Rate), SerialFormat: c.SerialFormat, Config: cpe.Config{ACS: c.ACS, Username: c.Username,
		PeriodicInterval: c.Periodic, Tree: cpe.Device2(), Logger: logger(&config.Log{Level: c.LogLevel}, new(slog.LevelVar), a.stderr)}}
	if f.Tree, err = c.tree(); err != nil {
		return f, err
	}
	f.DeviceID = f.Tree.DeviceID
	if f.DeviceID == (cwmp.DeviceID{}) {
		f.DeviceID = cwmp.DeviceID{Manufacturer: "isthmus", OUI: "00D09E", ProductClass: "Simulated", SerialNumber: "000001"}
	}
	for to, flag := range map[*string]string{&f.DeviceID.OUI: c.OUI, &f.DeviceID.ProductClass: c.ProductClass, &f.DeviceID.SerialNumber: c.Serial} {
		if flag != "" {
			*to = flag
		}
	}
	var stunPassword, xmppPassword string
	for to, file := range map[*string]string{&f.Password: c.PasswordFile, &f.ConnReqPassword: c.ConnReqFile, &stunPassword: c.STUNFile, &xmppPassword: c.XMPPFile} {
		if file == "" {
			continue
		}
		password, err := os.ReadFile(file)
		if err != nil {
			return f, fmt.Errorf("password file: %w", err)
		}
		*to = strings.TrimRight(string(password), "\r\n")
	}
	f.ConnReqUsername = c.ConnReqUser
	if f.TLS, err = clientTLS(&config.ClientTLS{CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile}); err != nil {
		return f, err
	}
	if c.STUN != "" {
		f.STUN = &cpe.STUN{Server: c.STUN, Username: c.STUNUser, Password: stunPassword}
	}
	if c.XMPPJID != "" {
		f.XMPP = &xmpp.Options{Server: c.XMPPServer, JID: c.XMPPJID, Password: xmppPassword, TLS: f.TLS}
	}
	if f.Listener, err = cpe.Listen(c.ConnReq); err != nil {
		return f, fmt.Errorf("--connreq-listen: %w", err)
	}
	return f, nil
}

func (c *cpeCmd) tree() (*cpe.Tree, error) {
	switch {
	case c.Data != "" && c.TR098:
		return nil, fmt.Errorf("--data and --tr098 exclude each other: %w", errUse)
	case c.TR098:
		return cpe.IGD(), nil
	case c.Data == "":
		return cpe.Device2(), nil
	}
	file, err := os.Open(c.Data)
	if err != nil {
		return nil, fmt.Errorf("parameter dump: %w", err)
	}
	t, err := cpe.LoadCSV(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("parameter dump %s: %w", c.Data, err)
	}
	return t, nil
}

// perSecond is a rate, written 10 or 10/s.
type perSecond float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *perSecond) UnmarshalText(text []byte) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "/s"), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return fmt.Errorf("%q is no rate, such as 10/s", text)
	}
	*r = perSecond(n)
	return nil
}
