package cpe

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"isthmus/cwmp"
)

// maxRetryRequests is how often an RPC is repeated because the ACS answers 8005.
const maxRetryRequests = 10

var (
	errProtocol = errors.New("cpe: ACS broke the protocol")
	errSchema   = errors.New("cpe: ACS URL is neither http nor https")
)

var namespaces = map[string]string{"1.0": cwmp.NamespaceV1_0, "1.1": cwmp.NamespaceV1_1}

func namespace(version string) string {
	if ns, ok := namespaces[version]; ok {
		return ns
	}
	return cwmp.NamespaceV1_2
}

var supportedVersions = []string{"1.0", "1.1", "1.2", "1.3", "1.4"}

// session is one conversation with the ACS (TR-069 3.7.1).
type session struct {
	*CPE
	http      *acs
	namespace string
	ids       int
	hold      bool // the ACS said HoldRequests
}

// converse holds a session from the Inform to the ACS's last empty answer.
func (c *CPE) converse(ctx context.Context) error {
	s, err := c.newSession()
	if err != nil {
		return err
	}
	defer s.http.close()
	if err := s.inform(ctx); err != nil {
		return err
	}
	if err := s.ownRequests(ctx); err != nil {
		return err
	}
	answer, err := s.post(ctx, nil)
	for err == nil {
		if answer == nil {
			s.hold = false
			if !s.hasRequests() {
				return nil
			}
			if err = s.ownRequests(ctx); err == nil {
				answer, err = s.post(ctx, nil)
			}
			continue
		}
		answer, err = s.serve(ctx, answer)
	}
	return err
}

func (c *CPE) newSession() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	server := c.root + "ManagementServer."
	address := c.tree.value(server + "URL")
	if address == "" {
		address = c.cfg.ACS
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("ACS URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %q", errSchema, u.Scheme)
	}
	username, password := c.cfg.Username, c.cfg.Password
	if c.tree.find(server+"Username") != nil {
		username, password = c.tree.value(server+"Username"), c.tree.value(server+"Password")
	}
	return &session{CPE: c, namespace: namespace(c.cfg.Version), http: &acs{cfg: &c.cfg, url: u, username: username, password: password}}, nil
}

// post sends an envelope, nil for an empty POST, and reads the answer, nil if there is none.
func (s *session) post(ctx context.Context, e *cwmp.Envelope) (*cwmp.Envelope, error) {
	s.mu.Lock()
	faults := s.faults
	s.mu.Unlock()
	var body []byte
	if e != nil {
		e.Namespace = s.namespace
		var err error
		if body, err = encode(e, &faults); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Body.Name(), err)
		}
	}
	s.observe(false, e)
	answer, contentType, err := s.http.post(ctx, body, &faults)
	if err != nil {
		if errors.Is(err, errFault) {
			s.mu.Lock()
			s.faults.CloseAfterPost = 0
			s.mu.Unlock()
		}
		return nil, err
	}
	if len(answer) == 0 {
		s.observe(true, nil)
		return nil, nil
	}
	env, err := cwmp.Decode(answer, contentType)
	if err != nil {
		return nil, fmt.Errorf("answer of ACS: %w", err)
	}
	if env.Body == nil {
		return nil, fmt.Errorf("%w: envelope with an empty body", errProtocol)
	}
	s.hold = env.HoldRequests
	s.observe(true, env)
	return env, nil
}

// request sends an RPC of the CPE's own until the answer is not 8005, and returns it; a fault is an error.
func (s *session) request(ctx context.Context, e *cwmp.Envelope) (*cwmp.Envelope, error) {
	for range maxRetryRequests {
		s.ids++
		e.ID = strconv.Itoa(s.ids)
		answer, err := s.post(ctx, e)
		if err != nil {
			return nil, err
		}
		if answer == nil {
			return nil, fmt.Errorf("%w: %s was not answered", errProtocol, e.Body.Name())
		}
		if f, ok := answer.Body.(*cwmp.Fault); !ok {
			return answer, nil
		} else if f.Code != cwmp.FaultACSRetryRequest {
			return nil, fmt.Errorf("%s: %w", e.Body.Name(), f)
		}
	}
	return nil, fmt.Errorf("%s: %w", e.Body.Name(), cwmp.NewFault(cwmp.FaultACSRetryRequest))
}

func (s *session) inform(ctx context.Context) error {
	s.mu.Lock()
	told := append([]event(nil), s.events...)
	changes := make(map[string]string, len(s.changed))
	for path := range s.changed {
		changes[path] = s.tree.value(path)
	}
	e := &cwmp.Envelope{Body: &cwmp.Inform{
		DeviceId: s.id, Event: s.eventList(), MaxEnvelopes: 1, CurrentTime: time.Now(), RetryCount: s.retries,
		ParameterList: s.informParameters(changes),
	}}
	s.mu.Unlock()
	if s.cfg.Version == defaultVersion {
		e.SupportedCWMPVersions = supportedVersions
	}
	answer, err := s.request(ctx, e)
	if err != nil {
		return err
	}
	if _, ok := answer.Body.(*cwmp.InformResponse); !ok {
		return fmt.Errorf("%w: Inform answered with %s", errProtocol, answer.Body.Name())
	}
	if v := answer.UseCWMPVersion; v != "" {
		s.namespace = namespace(v)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivered(told)
	for path, value := range changes {
		if s.tree.value(path) == value {
			delete(s.changed, path)
		}
	}
	if len(s.changed) > 0 {
		s.addEvent(event{code: cwmp.EventValueChange}) // changed again while the Inform was under way
	}
	s.changedState()
	return nil
}

// delivered removes the events that an InformResponse settles. What was queued meanwhile stays. c.mu is held.
func (c *CPE) delivered(told []event) {
	for _, e := range told {
		c.bootstrapped = c.bootstrapped || e.code == cwmp.EventBootstrap
		if e.until != nil {
			continue
		}
		for i := range c.events {
			if c.events[i] == e {
				c.events = append(c.events[:i:i], c.events[i+1:]...)
				break
			}
		}
	}
}

// The parameters that every Inform carries (TR-181 and TR-098: Forced Inform).
var (
	forcedDevice = []string{
		"RootDataModelVersion", "DeviceInfo.HardwareVersion", "DeviceInfo.SoftwareVersion", "DeviceInfo.ProvisioningCode",
		"ManagementServer.ParameterKey", "ManagementServer.ConnectionRequestURL", "ManagementServer.AliasBasedAddressing",
	}
	forcedIGD = []string{
		"DeviceSummary", "DeviceInfo.SpecVersion", "DeviceInfo.HardwareVersion", "DeviceInfo.SoftwareVersion",
		"DeviceInfo.ProvisioningCode", "ManagementServer.ParameterKey", "ManagementServer.ConnectionRequestURL",
		"ManagementServer.AliasBasedAddressing", "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.ExternalIPAddress",
	}
)

// informParameters are the forced ones, those of the Config and the changed ones, each once. c.mu is held.
func (c *CPE) informParameters(changes map[string]string) []cwmp.ParameterValueStruct {
	forced := forcedDevice
	if c.root != "Device." {
		forced = forcedIGD
	}
	var list []cwmp.ParameterValueStruct
	seen := make(map[string]bool, len(forced)+len(c.cfg.InformParameters)+len(changes))
	add := func(path string) {
		if n := c.tree.find(path); n != nil && n.parameter() && !seen[path] {
			seen[path] = true
			list = append(list, c.valueStruct(path, n))
		}
	}
	for _, name := range forced {
		add(c.root + name)
	}
	for _, path := range c.cfg.InformParameters {
		add(path)
	}
	for path := range changes {
		add(path)
	}
	return list
}

func (s *session) hasRequests() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests) > 0
}

// ownRequests sends what the CPE has to say, unless the ACS holds it back.
func (s *session) ownRequests(ctx context.Context) error {
	for !s.hold {
		s.mu.Lock()
		var r *request
		if len(s.requests) > 0 {
			r = s.requests[0]
		}
		s.mu.Unlock()
		if r == nil {
			return nil
		}
		_, err := s.request(ctx, &cwmp.Envelope{Body: r.rpc})
		var fault *cwmp.Fault
		if errors.As(err, &fault) && fault.Code == cwmp.FaultACSMethodNotSupported {
			err = nil // asking again would not help
		}
		if err != nil {
			return err
		}
		s.settle(r)
	}
	return nil
}

// settle forgets a request that was answered, with the events that announced it.
func (c *CPE) settle(r *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.requests {
		if c.requests[i] == r {
			c.requests = append(c.requests[:i:i], c.requests[i+1:]...)
			break
		}
	}
	c.dropEvents(func(e event) bool { return e.until == r })
	c.changedState()
}

// serve carries out one RPC of the ACS and posts its answer.
func (s *session) serve(ctx context.Context, request *cwmp.Envelope) (*cwmp.Envelope, error) {
	if s.loses(request.Body) {
		return nil, errFault
	}
	response, drop := s.answer(request.Body)
	empty := response == nil
	s.record(request.Body, response)
	s.mu.Lock()
	now, early := s.faults.TransferInSession, s.faults.TransferEarly
	s.mu.Unlock()
	if now {
		if err := s.transferNow(ctx, early); err != nil {
			return nil, err
		}
	}
	switch {
	case drop:
		return nil, errFault
	case empty:
		return s.post(ctx, nil)
	}
	return s.post(ctx, &cwmp.Envelope{ID: request.ID, Body: response})
}

// loses says whether an RPC is taken for one that never came in.
func (s *session) loses(req cwmp.RPC) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := s.faults.LoseOn == req.Name()
	if lost {
		s.faults.LoseOn = ""
	}
	return lost
}

// answer is what an RPC gets, nil for an empty POST; drop if it shall not be sent.
func (s *session) answer(req cwmp.RPC) (response cwmp.RPC, drop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	response = s.handle(req)
	if drop = s.faults.CloseOn == req.Name(); drop {
		s.faults.CloseOn = ""
	}
	if s.faults.EmptyAnswer[req.Name()] {
		response = nil
	} else if s.faults.Answer != nil {
		response = s.faults.Answer(req, response)
	}
	return response, drop
}
