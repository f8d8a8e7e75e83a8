package cpe

import (
	"errors"
	"slices"
	"strings"
	"time"

	"isthmus/cwmp"
)

// methods are the RPCs that this CPE speaks.
var methods = []string{
	"GetRPCMethods", "SetParameterValues", "GetParameterValues", "GetParameterNames", "SetParameterAttributes",
	"GetParameterAttributes", "AddObject", "DeleteObject", "Reboot", "Download", "Upload", "ScheduleDownload", "ScheduleInform",
	"FactoryReset", "CancelTransfer", "GetQueuedTransfers", "GetAllQueuedTransfers", "ChangeDUState",
}

const (
	maxNames     = 4096 // of one GetParameterValues
	maxScheduled = 16   // ScheduleInforms that wait
	maxKey       = 32   // characters of a ParameterKey or CommandKey
)

// handle carries out an RPC and returns its response or a *cwmp.Fault. c.mu is held.
func (c *CPE) handle(req cwmp.RPC) cwmp.RPC {
	if code, ok := c.faults.RPCFault[req.Name()]; ok {
		return cwmp.NewFault(code)
	}
	response, err := c.perform(req)
	var fault *cwmp.Fault
	switch {
	case errors.As(err, &fault):
		return fault
	case err != nil:
		return &cwmp.Fault{Code: cwmp.FaultInternalError, String: err.Error()}
	}
	return response
}

func (c *CPE) perform(req cwmp.RPC) (cwmp.RPC, error) {
	switch req := req.(type) {
	case *cwmp.GetRPCMethods:
		return &cwmp.GetRPCMethodsResponse{MethodList: methods}, nil
	case *cwmp.GetParameterNames:
		return c.getNames(req)
	case *cwmp.GetParameterValues:
		return c.getValues(req)
	case *cwmp.SetParameterValues:
		return c.setValues(req)
	case *cwmp.GetParameterAttributes:
		return c.getAttributes(req)
	case *cwmp.SetParameterAttributes:
		return c.setAttributes(req)
	case *cwmp.AddObject:
		return c.addObject(req)
	case *cwmp.DeleteObject:
		return c.deleteObject(req)
	case *cwmp.Reboot:
		c.reboot = &req.CommandKey
		return &cwmp.RebootResponse{}, nil
	case *cwmp.FactoryReset:
		c.reset = true
		return &cwmp.FactoryResetResponse{}, nil
	case *cwmp.ScheduleInform:
		return c.scheduleInform(req)
	case *cwmp.Download:
		return c.download(req)
	case *cwmp.Upload:
		return c.upload(req)
	case *cwmp.ScheduleDownload:
		return c.scheduleDownload(req)
	case *cwmp.CancelTransfer:
		return c.cancelTransfer(req)
	case *cwmp.GetQueuedTransfers:
		return c.queuedTransfers(), nil
	case *cwmp.GetAllQueuedTransfers:
		return c.allQueuedTransfers(), nil
	case *cwmp.ChangeDUState:
		return c.changeDUState(req)
	}
	return nil, cwmp.NewFault(cwmp.FaultMethodNotSupported)
}

// getNames is TR-069 A.3.2.3.
func (c *CPE) getNames(req *cwmp.GetParameterNames) (cwmp.RPC, error) {
	path := req.ParameterPath
	n := c.tree.find(path)
	switch {
	case n == nil:
		return nil, cwmp.NewFault(cwmp.FaultInvalidParameterName)
	case n.parameter() && req.NextLevel:
		return nil, cwmp.NewFault(cwmp.FaultInvalidArguments)
	case c.faults.NoGPNDeep && !req.NextLevel && (path == "" || path == c.root):
		return nil, cwmp.NewFault(cwmp.FaultInternalError)
	}
	var r cwmp.GetParameterNamesResponse
	if req.NextLevel {
		for _, k := range n.kids {
			r.ParameterList = append(r.ParameterList, cwmp.ParameterInfoStruct{Name: path + suffixed(k), Writable: k.writable})
		}
		return &r, nil
	}
	walk(path, n, func(path string, n *node) {
		if path != "" {
			r.ParameterList = append(r.ParameterList, cwmp.ParameterInfoStruct{Name: path, Writable: n.writable})
		}
	})
	return &r, nil
}

func (c *CPE) valueStruct(path string, n *node) cwmp.ParameterValueStruct {
	p := cwmp.ParameterValueStruct{Name: path, Type: n.kind}
	if !n.secret {
		p.Value = c.current(path, n)
	}
	return p
}

// getValues is TR-069 A.3.2.2.
func (c *CPE) getValues(req *cwmp.GetParameterValues) (cwmp.RPC, error) {
	if limit := c.faults.MaxGPV; len(req.ParameterNames) > maxNames || limit > 0 && len(req.ParameterNames) > limit {
		return nil, cwmp.NewFault(cwmp.FaultResourcesExceeded)
	}
	var r cwmp.GetParameterValuesResponse
	err := c.parameters(req.ParameterNames, func(path string, n *node) {
		r.ParameterList = append(r.ParameterList, c.valueStruct(path, n))
	})
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// parameters calls f for each parameter that names mean.
func (c *CPE) parameters(names []string, f func(path string, n *node)) error {
	for _, name := range names {
		start := c.tree.find(name)
		if start == nil || c.faults.NoGPVPartial && !start.parameter() {
			return cwmp.NewFault(cwmp.FaultInvalidParameterName)
		}
		walk(name, start, func(path string, n *node) {
			if n.parameter() {
				f(path, n)
			}
		})
	}
	return nil
}

// setValues is TR-069 A.3.2.1: all or nothing.
func (c *CPE) setValues(req *cwmp.SetParameterValues) (cwmp.RPC, error) {
	if len(req.ParameterKey) > maxKey || c.refusesTest(req) {
		return nil, cwmp.NewFault(cwmp.FaultInvalidArguments)
	}
	fault := cwmp.NewFault(cwmp.FaultInvalidArguments)
	next := c.tree
	seen := make(map[string]bool, len(req.ParameterList))
	for _, p := range req.ParameterList {
		if seen[p.Name] {
			return nil, cwmp.NewFault(cwmp.FaultInvalidArguments)
		}
		seen[p.Name] = true
		if code := c.refuses(p); code != 0 {
			fault.Params = append(fault.Params, cwmp.ParameterFault{Name: p.Name, Code: code, String: code.Text()})
			continue
		}
		next = next.set(p.Name, next.find(p.Name).canonical(p.Value))
	}
	if len(fault.Params) > 0 {
		return nil, fault
	}
	c.tree = next
	c.storeKey(req.ParameterKey)
	for path := range seen {
		c.consequences(path)
		c.unset(path, seen)
	}
	return &cwmp.SetParameterValuesResponse{Status: c.status()}, nil
}

// refuses is the fault for one value of a SetParameterValues, 0 if it may be written.
func (c *CPE) refuses(p cwmp.ParameterValueStruct) cwmp.FaultCode {
	n := c.tree.find(p.Name)
	switch {
	case n == nil || !n.parameter():
		return cwmp.FaultInvalidParameterName
	case c.faults.SetFault[p.Name] != 0:
		return c.faults.SetFault[p.Name]
	case !n.writable:
		return cwmp.FaultNonWritableParameter
	case p.Type != "" && p.Type != n.kind:
		return cwmp.FaultInvalidParameterType
	case !n.accepts(p.Value) || isState(n.name) && !startsOrStops(p.Value):
		return cwmp.FaultInvalidParameterValue
	}
	return 0
}

// consequences of a write that the CPE acts upon.
func (c *CPE) consequences(path string) {
	_, last := splitLast(path)
	switch name := strings.TrimPrefix(path, c.root); {
	case strings.HasPrefix(name, "ManagementServer.PeriodicInform"):
		c.period = 0
		c.rearm()
	case name == "ManagementServer.URL":
		c.atEnd = append(c.atEnd, func() {
			c.addEvent(event{code: cwmp.EventBootstrap})
			c.want()
		})
	case isState(last) && c.tree.value(path) == requested:
		c.atEnd = append(c.atEnd, func() { c.begin(path) })
	default:
		c.act(path)
	}
}

func (c *CPE) storeKey(key string) { c.tree = c.tree.set(c.root+"ManagementServer.ParameterKey", key) }

func (c *CPE) status() int {
	if c.faults.StatusOne {
		return 1
	}
	return 0
}

// getAttributes is TR-069 A.3.2.5.
func (c *CPE) getAttributes(req *cwmp.GetParameterAttributes) (cwmp.RPC, error) {
	if len(req.ParameterNames) > maxNames {
		return nil, cwmp.NewFault(cwmp.FaultResourcesExceeded)
	}
	var r cwmp.GetParameterAttributesResponse
	err := c.parameters(req.ParameterNames, func(path string, n *node) {
		r.ParameterList = append(r.ParameterList, cwmp.ParameterAttributeStruct{
			Name: path, Notification: n.notification, AccessList: n.accessList,
		})
	})
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// setAttributes is TR-069 A.3.2.4: all or nothing. Forced active parameters stay so: asked for by name that is 9009.
func (c *CPE) setAttributes(req *cwmp.SetParameterAttributes) (cwmp.RPC, error) {
	next := c.tree
	for _, a := range req.ParameterList {
		if a.NotificationChange && (a.Notification < 0 || a.Notification > notificationMax) {
			return nil, cwmp.NewFault(cwmp.FaultInvalidArguments)
		}
		if code := c.faults.NotifyFault[a.Name]; code != 0 && a.NotificationChange && a.Notification != 0 {
			return nil, cwmp.NewFault(code)
		}
		var forced bool
		err := c.parameters([]string{a.Name}, func(path string, n *node) {
			notification := a.Notification
			if fixed := strings.HasSuffix(path, "DeviceInfo."+n.name) && forcedActive(n.name); fixed || !a.NotificationChange {
				forced = fixed && a.NotificationChange && path == a.Name && notification != n.notification
				notification = n.notification
			}
			next = next.edit(path, func(n *node) {
				n.notification = notification
				if a.AccessListChange {
					n.accessList = a.AccessList
				}
			})
		})
		if err != nil {
			return nil, err
		}
		if forced {
			return nil, cwmp.NewFault(cwmp.FaultNotificationRejected)
		}
	}
	c.tree = next
	return &cwmp.SetParameterAttributesResponse{}, nil
}

const maxRows = 1024 // of a table

// addObject is TR-069 A.3.2.6.
func (c *CPE) addObject(req *cwmp.AddObject) (cwmp.RPC, error) {
	n := c.tree.find(req.ObjectName)
	switch {
	case n == nil || !n.table || !n.writable || n.template == nil:
		return nil, cwmp.NewFault(cwmp.FaultInvalidParameterName)
	case len(n.kids) >= maxRows:
		return nil, cwmp.NewFault(cwmp.FaultResourcesExceeded)
	case len(req.ParameterKey) > maxKey:
		return nil, cwmp.NewFault(cwmp.FaultInvalidArguments)
	}
	var instance int
	c.tree, instance = c.tree.add(req.ObjectName)
	c.storeKey(req.ParameterKey)
	return &cwmp.AddObjectResponse{InstanceNumber: instance, Status: c.status()}, nil
}

// deleteObject is TR-069 A.3.2.7.
func (c *CPE) deleteObject(req *cwmp.DeleteObject) (cwmp.RPC, error) {
	n := c.tree.find(req.ObjectName)
	table, _ := splitLast(req.ObjectName)
	parent := c.tree.find(table)
	switch {
	case n == nil || n.parameter() || parent == nil || !parent.table || !n.writable:
		return nil, cwmp.NewFault(cwmp.FaultInvalidParameterName)
	case len(req.ParameterKey) > maxKey:
		return nil, cwmp.NewFault(cwmp.FaultInvalidArguments)
	}
	c.tree = c.tree.remove(req.ObjectName)
	if c.faults.Renumber {
		c.tree = c.tree.renumber(table, 1)
	}
	for path := range c.changed {
		if strings.HasPrefix(path, req.ObjectName) {
			delete(c.changed, path)
		}
	}
	c.storeKey(req.ParameterKey)
	return &cwmp.DeleteObjectResponse{Status: c.status()}, nil
}

// scheduleInform is TR-069 A.4.1.2.
func (c *CPE) scheduleInform(req *cwmp.ScheduleInform) (cwmp.RPC, error) {
	if req.DelaySeconds <= 0 || len(req.CommandKey) > maxKey {
		return nil, cwmp.NewFault(cwmp.FaultInvalidArguments)
	}
	c.scheduled = slices.DeleteFunc(c.scheduled, func(at time.Time) bool { return !at.After(time.Now()) })
	if len(c.scheduled) >= maxScheduled {
		return nil, cwmp.NewFault(cwmp.FaultResourcesExceeded)
	}
	delay := time.Duration(req.DelaySeconds) * time.Second
	c.scheduled = append(c.scheduled, time.Now().Add(delay))
	c.after(delay, func() {
		c.addEvent(event{code: cwmp.EventScheduled})
		c.addEvent(event{code: cwmp.EventMScheduleInform, key: req.CommandKey})
		c.want()
	})
	return &cwmp.ScheduleInformResponse{}, nil
}
