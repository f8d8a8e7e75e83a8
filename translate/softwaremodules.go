package translate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"isthmus/cwmp"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// The operations of ChangeDUState, as DUStateChange! names them.
const (
	duInstall   = "Install"
	duUpdate    = "Update"
	duUninstall = "Uninstall"
)

const (
	softwareModules = "Device.SoftwareModules."
	maxUnitURL      = 1024 // characters (TR-069 A.4.1.10)
)

// du is the kind of the commands that are a ChangeDUState with one operation: the results of several could not be told apart.
type du struct{ operation string }

func duOf(command string) kind {
	switch command {
	case "InstallDU()":
		return du{duInstall}
	case "Update()":
		return du{duUpdate}
	case "Uninstall()":
		return du{duUninstall}
	}
	return nil
}

// uncarried are the arguments that CWMP has no field for and that a unit must not be installed without: what is left out of them would let it do
// what it was not to, or keep it from what it needs.
var uncarried = []string{"Signature", "Privileged", "RequiredRoles", "OptionalRoles", "RequiredUserRoles", "RegisterTrustPaths", "HostObject."}

const memoEnv = "exec_env" // the CPE's own path of the execution environment

func (k du) begin(_ context.Context, d *Device, op *operation) error {
	url := op.Args["URL"]
	switch {
	case utf8.RuneCountInString(url) > maxUnitURL:
		return usp.Errorf(usp.InvalidArguments, "URL is longer than the %d characters that CWMP has for it", maxUnitURL)
	case k.operation == duInstall && url == "":
		return usp.Errorf(usp.InvalidArguments, "URL is empty")
	}
	for _, name := range []string{"Username", "Password"} {
		if utf8.RuneCountInString(op.Args[name]) > maxTransferField {
			return usp.Errorf(usp.InvalidArguments, "%s is longer than the %d characters that CWMP has for it", name, maxTransferField)
		}
	}
	for name, v := range op.Args {
		for _, u := range uncarried {
			if (name == u || strings.HasSuffix(u, ".") && strings.HasPrefix(name, u)) && v != "" && v != "false" && v != "0" {
				return usp.Errorf(usp.InvalidArguments, "%s cannot be told to a CPE that speaks CWMP", name)
			}
		}
	}
	env := op.Args["ExecutionEnvRef"]
	if env == "" {
		return nil
	}
	d.mu.RLock()
	own := d.view().Row(strings.TrimSuffix(env, ".") + ".")
	d.mu.RUnlock()
	if own == "" {
		return usp.Errorf(usp.InvalidArguments, "ExecutionEnvRef is no object of this CPE: %s", env)
	}
	op.Memo = map[string]string{memoEnv: strings.TrimSuffix(own, ".")}
	return nil
}

func (du) lane(*operation) string { return "ChangeDUState" }

func (k du) send(ctx context.Context, c cwmp.Caller, d *Device, op *operation) (*outcome, error) {
	unit, err := d.unit(ctx, c, op)
	if err != nil {
		return nil, err
	}
	a := op.Args
	var o cwmp.OperationStruct
	switch k.operation {
	case duInstall:
		o = &cwmp.InstallOpStruct{URL: a["URL"], UUID: a["UUID"], Username: a["Username"], Password: a["Password"], ExecutionEnvRef: op.Memo[memoEnv]}
	case duUpdate:
		o = &cwmp.UpdateOpStruct{UUID: unit["UUID"], Version: unit["Version"], URL: a["URL"], Username: a["Username"], Password: a["Password"]}
	default: // without its Version and environment a unit is uninstalled everywhere
		o = &cwmp.UninstallOpStruct{UUID: unit["UUID"], Version: unit["Version"], ExecutionEnvRef: unit["ExecutionEnvRef"]}
	}
	_, err = cwmp.Call(ctx, c, &cwmp.ChangeDUState{Operations: []cwmp.OperationStruct{o}, CommandKey: op.Token})
	return nil, err
}

// unit reads what CWMP calls the unit of the row that a command is of; nil for InstallDU().
func (d *Device) unit(ctx context.Context, c cwmp.Caller, op *operation) (map[string]string, error) {
	object := objectOf(op.Command)
	if object == softwareModules {
		return nil, nil
	}
	d.mu.RLock()
	row := d.view().Row(object)
	d.mu.RUnlock()
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: []string{row + "UUID", row + "Version", row + "ExecutionEnvRef"}})
	var f *cwmp.Fault
	if errors.As(err, &f) && f.Code == cwmp.FaultInvalidParameterName {
		return nil, usp.Errorf(usp.ObjectDoesNotExist, "%s is not there any more", object)
	}
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, p := range resp.ParameterList {
		if name, ok := strings.CutPrefix(p.Name, row); ok {
			values[name] = p.Value
		}
	}
	return values, nil
}

func (du) look(context.Context, cwmp.Caller, *Device, *operation, *cwmp.Inform) (*outcome, error) {
	return nil, nil
}

func (du) poll(*operation) time.Duration { return 0 }

func (du) cancel(context.Context, cwmp.Caller, *Device, *operation) error {
	return usp.Errorf(usp.CommandFailure, "CWMP cannot cancel a change of deployment units that the CPE has begun")
}

func (du) expire(*Device, *operation) *outcome { return nil }

// ended is the outcome of a change, with a DUStateChange! for each unit.
func (k du) ended(d *Device, op *operation, results []cwmp.OpResultStruct) *outcome {
	out := &outcome{stale: true}
	for i := range results {
		r := &results[i]
		out.events = append(out.events, d.unitChange(r, k.operation))
		switch f := r.Fault; {
		case out.err != nil:
		case f.FaultCode != 0:
			out.err = failed(f.FaultCode, f.FaultString).err
		case r.CurrentState == "Failed":
			out.err = usp.Errorf(usp.CommandFailure, "the CPE failed and does not say why")
		}
	}
	if len(results) == 0 {
		out.err = usp.Errorf(usp.CommandFailure, "the CPE has reported no result")
	}
	if out.err == nil && k.operation == duInstall {
		r := results[0]
		out.output = map[string]string{"UUID": cmp.Or(r.UUID, op.Args["UUID"]), "Version": r.Version, "ExecEnvRef": strings.TrimSuffix(op.Args["ExecutionEnvRef"], ".")}
	}
	return out
}

// unitChange is DUStateChange! for one result.
func (d *Device) unitChange(r *cwmp.OpResultStruct, performed string) agent.Happening {
	args := map[string]string{
		"UUID": r.UUID, "Version": r.Version, "CurrentState": r.CurrentState, "Resolved": strconv.FormatBool(r.Resolved),
		"DeploymentUnitRef": d.referred(r.DeploymentUnitRef), "ExecutionUnitRefList": d.referred(r.ExecutionUnitRefList),
		"StartTime": eventTime(r.StartTime), "CompleteTime": eventTime(r.CompleteTime), "OperationPerformed": performed,
		"Fault.FaultCode": "0", "Fault.FaultString": "",
	}
	if f := r.Fault; f.FaultCode != 0 {
		args["Fault.FaultCode"] = strconv.Itoa(int(unitFault(f.FaultCode)))
		args["Fault.FaultString"] = cutTo(fmt.Sprintf(cwmpFault+"%d %s", f.FaultCode, f.FaultString), maxFaultString)
	}
	return &agent.Event{Object: softwareModules, Name: "DUStateChange!", Args: args}
}

// referred gives a list of rows of the CPE as Device:2 references. What has no place there is left out.
func (d *Device) referred(list string) string {
	d.mu.RLock()
	view := d.view()
	d.mu.RUnlock()
	var refs []string
	for own := range strings.SplitSeq(list, ",") {
		if own = strings.TrimSpace(own); own == "" {
			continue
		}
		for _, row := range view.Rows(strings.TrimSuffix(own, ".") + ".") {
			refs = append(refs, strings.TrimSuffix(row, "."))
		}
	}
	return strings.Join(refs, ",")
}

// The error codes that the data model has for deployment units.
const (
	errUnknownEnv     usp.ErrorCode = 7223
	errEnvMismatch    usp.ErrorCode = 7225
	errDuplicateUnit  usp.ErrorCode = 7226
	errUnitResources  usp.ErrorCode = 7227
	errUnitTransition usp.ErrorCode = 7229
)

// unitFault is the FaultCode of DUStateChange! (events-to-cwmp.tsv).
func unitFault(c cwmp.FaultCode) usp.ErrorCode {
	switch c {
	case cwmp.FaultRequestDenied:
		return usp.RequestDenied
	case cwmp.FaultInvalidArguments, cwmp.FaultInvalidUUID:
		return usp.InvalidArguments
	case cwmp.FaultUnknownExecutionEnv:
		return errUnknownEnv
	case cwmp.FaultDisabledExecutionEnv:
		return usp.InvalidValue
	case cwmp.FaultExecutionEnvMismatch:
		return errEnvMismatch
	case cwmp.FaultDuplicateDeploymentUnit:
		return errDuplicateUnit
	case cwmp.FaultSystemResources:
		return errUnitResources
	case cwmp.FaultUnknownDeploymentUnit:
		return usp.ObjectDoesNotExist
	case cwmp.FaultDeploymentUnitState, cwmp.FaultDowngradeNotPermitted, cwmp.FaultVersionNotSpecified, cwmp.FaultVersionExists:
		return errUnitTransition
	}
	return usp.CommandFailure
}

// unitsChanged takes a DUStateChangeComplete.
func (p *Proxy) unitsChanged(ctx context.Context, s *cwmp.Session, m *cwmp.DUStateChangeComplete) error {
	d := p.byID(s.Inform.DeviceId)
	if d == nil || d.isOutsider(s) {
		return nil
	}
	op := d.meant(m.CommandKey, func(k kind) bool { _, ok := k.(du); return ok })
	if op == nil {
		p.log.Debug("deployment units were changed for nobody who waits", "device", d.id)
		return nil
	}
	k, _ := op.kind.(du)
	if err := d.complete(ctx, op, k.ended(d, op, m.Results)); err != nil {
		return fmt.Errorf("ending a change of deployment units of %s: %w", d.id, err)
	}
	return nil
}

// unitsChangedAlone takes an AutonomousDUStateChangeComplete: DUStateChange! for each unit.
func (p *Proxy) unitsChangedAlone(ctx context.Context, s *cwmp.Session, m *cwmp.AutonomousDUStateChangeComplete) error {
	d := p.byID(s.Inform.DeviceId)
	if d == nil || d.isOutsider(s) || len(m.Results) == 0 {
		return nil
	}
	events := make([]agent.Happening, len(m.Results))
	for i := range m.Results {
		events[i] = d.unitChange(&m.Results[i].OpResultStruct, m.Results[i].OperationPerformed)
	}
	d.mu.Lock()
	d.head.StaleBefore = time.Now().UnixMilli()
	d.mu.Unlock()
	return errors.Join(d.autonomous(ctx, events...), d.putHead(ctx))
}
