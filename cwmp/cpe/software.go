package cpe

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
)

// unit is an installed deployment unit.
type unit struct {
	ref, version string // ref: its row, if the tree has the table
}

const (
	maxOperations = 16
	maxUnits      = 64
	firstVersion  = "1.0"
	unitTable     = "SoftwareModules.DeploymentUnit."
)

// changeDUState is TR-069 A.4.1.10: the operations run after the session, a DUStateChangeComplete reports them.
func (c *CPE) changeDUState(req *cwmp.ChangeDUState) (cwmp.RPC, error) {
	switch {
	case len(req.Operations) == 0 || len(req.CommandKey) > maxKey:
		return nil, cwmp.NewFault(cwmp.FaultInvalidArguments)
	case len(req.Operations) > maxOperations:
		return nil, cwmp.NewFault(cwmp.FaultResourcesExceeded)
	}
	c.atEnd = append(c.atEnd, func() {
		complete := &cwmp.DUStateChangeComplete{CommandKey: req.CommandKey}
		for _, op := range req.Operations {
			complete.Results = append(complete.Results, c.operate(op)...)
		}
		r := &request{rpc: complete}
		c.requests = append(c.requests, r)
		c.addEvent(event{code: cwmp.EventDUStateChangeComplete, until: r})
		c.addEvent(event{code: cwmp.EventMChangeDUState, key: req.CommandKey, until: r})
		c.want()
	})
	return &cwmp.ChangeDUStateResponse{}, nil
}

// operate carries out one operation, which may concern several units. c.mu is held.
func (c *CPE) operate(op cwmp.OperationStruct) []cwmp.OpResultStruct {
	switch op := op.(type) {
	case *cwmp.InstallOpStruct:
		return []cwmp.OpResultStruct{c.install(op)}
	case *cwmp.UpdateOpStruct:
		var results []cwmp.OpResultStruct
		for uuid, u := range c.units {
			if op.UUID == "" || op.UUID == uuid {
				u.version = next(u.version, op.Version)
				c.units[uuid] = u
				c.tree = c.tree.set(u.ref+"Version", u.version)
				results = append(results, result(uuid, u, "Installed"))
			}
		}
		if results == nil {
			results = append(results, failed(op.UUID, cwmp.FaultUnknownDeploymentUnit))
		}
		return results
	case *cwmp.UninstallOpStruct:
		u, ok := c.units[op.UUID]
		if !ok {
			return []cwmp.OpResultStruct{failed(op.UUID, cwmp.FaultUnknownDeploymentUnit)}
		}
		delete(c.units, op.UUID)
		if c.tree.find(u.ref) != nil && u.ref != "" {
			c.tree = c.tree.remove(u.ref)
		}
		return []cwmp.OpResultStruct{result(op.UUID, u, "Uninstalled")}
	}
	return nil
}

// install trusts the URL: nothing is fetched, as nothing would run it.
func (c *CPE) install(op *cwmp.InstallOpStruct) cwmp.OpResultStruct {
	uuid := op.UUID
	if uuid == "" {
		uuid = newUUID()
	}
	location, err := url.Parse(op.URL)
	switch {
	case err != nil || location.Host == "":
		return failed(uuid, cwmp.FaultInvalidArguments)
	case location.Scheme != "http" && location.Scheme != "https":
		return failed(uuid, cwmp.FaultFileTransferProtocol)
	case len(c.units) >= maxUnits:
		return failed(uuid, cwmp.FaultSystemResources)
	case op.ExecutionEnvRef != "" && c.tree.find(strings.TrimSuffix(op.ExecutionEnvRef, ".")+".") == nil:
		return failed(uuid, cwmp.FaultUnknownExecutionEnv)
	}
	if _, ok := c.units[uuid]; ok {
		return failed(uuid, cwmp.FaultDuplicateDeploymentUnit)
	}
	u := unit{version: firstVersion}
	if table := c.root + unitTable; c.tree.find(table) != nil {
		var instance int
		c.tree, instance = c.tree.add(table)
		u.ref = table + strconv.Itoa(instance) + "."
		for name, value := range map[string]string{"UUID": uuid, "DUID": strconv.Itoa(instance), "URL": op.URL, "Name": "unit-" + strconv.Itoa(instance)} {
			c.tree = c.tree.set(u.ref+name, value)
		}
	}
	if c.units == nil {
		c.units = make(map[string]unit)
	}
	c.units[uuid] = u
	return result(uuid, u, "Installed")
}

// next is the version after an update: the one asked for, else one more.
func next(version, wanted string) string {
	if wanted != "" {
		return wanted
	}
	return version + ".1"
}

func result(uuid string, u unit, state string) cwmp.OpResultStruct {
	now := time.Now()
	return cwmp.OpResultStruct{
		UUID: uuid, DeploymentUnitRef: strings.TrimSuffix(u.ref, "."), Version: u.version, CurrentState: state, Resolved: true,
		StartTime: now, CompleteTime: now,
	}
}

func failed(uuid string, code cwmp.FaultCode) cwmp.OpResultStruct {
	r := result(uuid, unit{}, "Failed")
	r.Resolved = false
	r.Fault = cwmp.FaultStruct{FaultCode: code, FaultString: code.Text()}
	return r
}

// newUUID is a random UUID, version 4.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	b[6] = b[6]&0x0F | 0x40
	b[8] = b[8]&0x3F | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
