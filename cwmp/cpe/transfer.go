package cpe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/icholy/digest"

	"isthmus/cwmp"
)

const (
	maxTransfers    = 16
	transferTimeout = 2 * time.Minute
	maxFile         = 256 << 20 // bytes of a Download
	maxVersion      = 64        // characters
	firmwareImage   = "1 Firmware Upgrade Image"
	storedImage     = "6 Stored Firmware Image"

	// HeaderSoftwareVersion of a file server's answer is the SoftwareVersion that a firmware image brings; without it, the image's
	// first line is.
	HeaderSoftwareVersion = "X-Software-Version"
)

// The states of a queued transfer (TR-069 A.4.1.1).
const (
	stateWaiting = 1
	stateRunning = 2
)

// transfer is a Download, ScheduleDownload or Upload that was accepted and not reported yet.
type transfer struct {
	key, fileType, url, username, password, target string
	size                                           int
	download                                       bool
	event                                          string // "M Download"
	due                                            time.Time
	state                                          int
	timer                                          *time.Timer
}

func (c *CPE) download(req *cwmp.Download) (cwmp.RPC, error) {
	err := c.enqueue(&transfer{
		key: req.CommandKey, fileType: req.FileType, url: req.URL, username: req.Username, password: req.Password,
		target: req.TargetFileName, size: req.FileSize, download: true, event: cwmp.EventMDownload, due: in(req.DelaySeconds),
	})
	return &cwmp.DownloadResponse{Status: 1}, err
}

func (c *CPE) upload(req *cwmp.Upload) (cwmp.RPC, error) {
	err := c.enqueue(&transfer{
		key: req.CommandKey, fileType: req.FileType, url: req.URL, username: req.Username, password: req.Password,
		event: cwmp.EventMUpload, due: in(req.DelaySeconds),
	})
	return &cwmp.UploadResponse{Status: 1}, err
}

func (c *CPE) scheduleDownload(req *cwmp.ScheduleDownload) (cwmp.RPC, error) {
	const maxWindows = 2
	if len(req.TimeWindowList) == 0 || len(req.TimeWindowList) > maxWindows {
		return nil, cwmp.NewFault(cwmp.FaultInvalidArguments)
	}
	err := c.enqueue(&transfer{
		key: req.CommandKey, fileType: req.FileType, url: req.URL, username: req.Username, password: req.Password,
		target: req.TargetFileName, size: req.FileSize, download: true, event: cwmp.EventMScheduleDownload,
		due: in(req.TimeWindowList[0].WindowStart),
	})
	return &cwmp.ScheduleDownloadResponse{}, err
}

func in(seconds int) time.Time { return time.Now().Add(time.Duration(max(seconds, 0)) * time.Second) }

// enqueue accepts a transfer, to begin after the session. c.mu is held.
func (c *CPE) enqueue(t *transfer) error {
	u, err := url.Parse(t.url)
	switch {
	case err != nil || u.Host == "" || len(t.key) > maxKey || t.fileType == "":
		return cwmp.NewFault(cwmp.FaultInvalidArguments)
	case u.Scheme != "http" && u.Scheme != "https":
		return cwmp.NewFault(cwmp.FaultFileTransferProtocol)
	case u.User != nil:
		return cwmp.NewFault(cwmp.FaultInvalidArguments) // A.3.2.8: no userinfo
	case len(c.transfers) >= maxTransfers:
		return cwmp.NewFault(cwmp.FaultResourcesExceeded)
	}
	t.state = stateWaiting
	c.transfers = append(c.transfers, t)
	c.atEnd = append(c.atEnd, func() { c.schedule(t) })
	return nil
}

// schedule starts the transfer when it is due, unless it was cancelled. c.mu is held.
func (c *CPE) schedule(t *transfer) {
	if !slices.Contains(c.transfers, t) {
		return
	}
	ctx := c.ctx
	t.state = stateWaiting
	t.timer = c.after(time.Until(t.due), func() {
		t.state = stateRunning
		c.work++
		c.wg.Go(func() {
			start := time.Now()
			version, err := c.carryOut(ctx, t)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.work--
			if ctx.Err() == nil {
				c.finish(t, start, version, err)
			}
			c.changedState()
		})
	})
}

// finish queues the TransferComplete with its events, and boots the new firmware. c.mu is held.
func (c *CPE) finish(t *transfer, start time.Time, version string, err error) {
	if !slices.Contains(c.transfers, t) {
		return // a FactoryReset came between
	}
	c.transfers = slices.DeleteFunc(c.transfers, func(o *transfer) bool { return o == t })
	complete := &cwmp.TransferComplete{CommandKey: t.key, StartTime: start, CompleteTime: time.Now()}
	var fault *cwmp.Fault
	if errors.As(err, &fault) {
		complete.FaultStruct = cwmp.FaultStruct{FaultCode: fault.Code, FaultString: fault.String}
	}
	c.announce(complete, t.event)
	if err == nil && t.fileType == storedImage {
		c.store(version)
	}
	if err != nil || t.fileType != firmwareImage || !t.download {
		c.want()
		return
	}
	install := func() {
		if row := c.store(version); row != "" {
			c.tree = c.tree.set(c.root+bootImage, row)
		}
		c.restart(false, nil)
		if version != "" {
			c.change(c.root+"DeviceInfo.SoftwareVersion", version)
		}
	}
	if c.running {
		c.atEnd = append(c.atEnd, install)
		return
	}
	install()
}

// announce queues a TransferComplete with its events. c.mu is held.
func (c *CPE) announce(complete *cwmp.TransferComplete, code string) {
	times := 1
	switch c.faults.TransferReport {
	case ReportNever:
		return
	case ReportTwice:
		times = 2
	case ReportKeyless:
		complete = &cwmp.TransferComplete{FaultStruct: cwmp.FaultStruct{FaultCode: complete.FaultStruct.FaultCode}}
	}
	for range times {
		if len(c.requests) >= maxRequests {
			return
		}
		r := &request{rpc: complete}
		c.requests = append(c.requests, r)
		c.addEvent(event{code: cwmp.EventTransferComplete, until: r})
		c.addEvent(event{code: code, key: complete.CommandKey, until: r})
	}
}

// transferNow carries out the transfers that have just been accepted, and reports them where early says so.
func (s *session) transferNow(ctx context.Context, early bool) error {
	s.mu.Lock()
	var accepted []*transfer
	for _, t := range s.transfers {
		if t.state == stateWaiting && t.timer == nil {
			accepted = append(accepted, t)
		}
	}
	s.mu.Unlock()
	for _, t := range accepted {
		start := time.Now()
		version, err := s.carryOut(ctx, t)
		s.mu.Lock()
		s.finish(t, start, version, err)
		s.mu.Unlock()
	}
	if !early {
		return nil
	}
	return s.ownRequests(ctx)
}

func (c *CPE) cancelTransfer(req *cwmp.CancelTransfer) (cwmp.RPC, error) {
	for _, t := range c.transfers {
		if t.key == req.CommandKey && t.state == stateRunning {
			return nil, cwmp.NewFault(cwmp.FaultCancelNotPermitted)
		}
	}
	c.transfers = slices.DeleteFunc(c.transfers, func(t *transfer) bool {
		if t.key != req.CommandKey {
			return false
		}
		c.cancel(t.timer)
		return true
	})
	return &cwmp.CancelTransferResponse{}, nil
}

func (c *CPE) queuedTransfers() cwmp.RPC {
	var r cwmp.GetQueuedTransfersResponse
	for _, t := range c.transfers {
		r.TransferList = append(r.TransferList, cwmp.QueuedTransferStruct{CommandKey: t.key, State: t.state})
	}
	return &r
}

func (c *CPE) allQueuedTransfers() cwmp.RPC {
	var r cwmp.GetAllQueuedTransfersResponse
	for _, t := range c.transfers {
		r.TransferList = append(r.TransferList, cwmp.AllQueuedTransferStruct{
			CommandKey: t.key, State: t.state, IsDownload: t.download, FileType: t.fileType, FileSize: t.size, TargetFileName: t.target,
		})
	}
	return &r
}

// carryOut moves the file; the error is a *cwmp.Fault. version is what a firmware image says it is.
func (c *CPE) carryOut(ctx context.Context, t *transfer) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	transport := &http.Transport{DialContext: c.cfg.Dial, TLSClientConfig: c.cfg.TLS, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if t.username != "" {
		client.Transport = &digest.Transport{Username: t.username, Password: t.password, Transport: transport}
	}
	method, failure, content := http.MethodGet, cwmp.FaultFileTransfer, ""
	if !t.download {
		method, failure, content = http.MethodPut, cwmp.FaultUpload, c.file(t.fileType)
	}
	resp, err := send(ctx, client, method, t, content, "")
	if err == nil && resp.StatusCode == http.StatusUnauthorized && strings.HasPrefix(resp.Header.Get("Www-Authenticate"), "Basic") {
		resp.Body.Close() //nolint:errcheck // nothing in it
		resp, err = send(ctx, client, method, t, content, basicAuth(t.username, t.password))
	}
	if err != nil {
		return "", cwmp.NewFault(cwmp.FaultFileServerUnreachable)
	}
	defer resp.Body.Close() //nolint:errcheck // read as far as wanted
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return "", cwmp.NewFault(cwmp.FaultFileServerAuth)
	case resp.StatusCode == http.StatusNotFound:
		return "", cwmp.NewFault(cwmp.FaultFileAccess)
	case resp.StatusCode >= http.StatusMultipleChoices:
		return "", &cwmp.Fault{Code: failure, String: fmt.Sprintf("%s: HTTP status %d", failure.Text(), resp.StatusCode)}
	}
	body := bufio.NewReader(io.LimitReader(resp.Body, maxFile+1))
	if version = resp.Header.Get(HeaderSoftwareVersion); version == "" {
		line, _ := body.Peek(maxVersion)
		version = firstLine(string(line))
	}
	n, err := io.Copy(io.Discard, body)
	switch {
	case err != nil:
		return "", cwmp.NewFault(cwmp.FaultFileIncomplete)
	case n > maxFile:
		return "", cwmp.NewFault(cwmp.FaultFileTransfer)
	case t.download && t.size > 0 && int64(t.size) != n:
		return "", cwmp.NewFault(cwmp.FaultFileCorrupted)
	}
	return version, nil
}

func send(ctx context.Context, client *http.Client, method string, t *transfer, content, authorization string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.url, strings.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("file transfer: %w", err)
	}
	req.Header.Set("User-Agent", userAgent)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return client.Do(req)
}

// firstLine is a version: printable and of one line.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

// file is what an Upload sends: the values for a configuration file, a line for a log.
func (c *CPE) file(fileType string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.Contains(fileType, "Log") {
		return fmt.Sprintf("booted %s, %d sessions, %d failed\n", c.booted.UTC().Format(time.RFC3339), c.sessions, c.failures)
	}
	var b strings.Builder
	walk("", c.tree.root, func(path string, n *node) {
		if n.parameter() && n.writable {
			fmt.Fprintf(&b, "%s=%s\n", path, n.shown())
		}
	})
	return b.String()
}
