package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"isthmus/usp"
)

const (
	requestTable = ownRoot + "Request."

	timerCommand  = "ScheduleTimer()"
	cancelCommand = "Cancel()"
	delaySeconds  = "DelaySeconds"

	// maxRequests is how many commands may be running at one Agent.
	maxRequests = 100
	// maxArguments bounds the input arguments that are kept of a running command, in bytes.
	maxArguments = 64 << 10

	dueKey  = ".due"  // in a Request: when the Agent itself completes it
	argsKey = ".args" // in a Request: the input arguments, for a start over
)

// The values of Device.LocalAgent.Request.{i}.Status that a row can have while it is there: it is gone with the end of the command.
const (
	statusRequested = "Requested"
	statusActive    = "Active"
	statusCanceling = "Canceling"
)

// ErrNoRequest is the error of Complete and Activate where the Request is not running any more.
var ErrNoRequest = errors.New("agent: no such request")

// Starter is a DataModel that runs asynchronous commands, those whose CommandDef says so. Each has a row of Device.LocalAgent.Request.,
// named by its path with the final dot, from before Start until Agent.Complete (R-OPR.0, R-OPR.2).
type Starter interface {
	// Start takes a command on and does not wait for its end. An error ends the command there and then: it is the cmd_failure of the
	// OperateResp. After a restart of the process Agent.Resume calls it again for each Request that was not complete, and the
	// DataModel knows by the Request what it was doing; an error then goes out with OperationComplete.
	Start(ctx context.Context, inv *Invocation, request string) error
	// Cancel asks for the end of a command. The DataModel calls Agent.Complete all the same: with 7023, or with the outcome where it was
	// too late. An error is the cmd_failure of Cancel(), and the command goes on.
	Cancel(ctx context.Context, request string) error
}

// Activate says that the command of a Request, which may have had to wait, is at work.
func (a *Agent) Activate(ctx context.Context, request string) error {
	return a.onRequest(ctx, request, func(t *tx) {
		if t.rows.get(request, "Status") == statusRequested {
			t.put(request, "Status", statusActive)
		}
	})
}

// Complete ends an asynchronous command: with its output arguments, or with err if that is not nil. The row of the Request is gone and the
// notifications are kept when it returns, both or, with an error, neither.
func (a *Agent) Complete(ctx context.Context, request string, output map[string]string, err *usp.Error) error {
	return a.onRequest(ctx, request, func(t *tx) { t.complete(request, output, err) })
}

func (a *Agent) onRequest(ctx context.Context, request string, change func(t *tx)) error {
	if err := a.use(ctx); err != nil {
		return err
	}
	defer a.leave()
	return a.update(ctx, "", func(t *tx) error {
		if !isRequest(request) || !t.exists(request) {
			return fmt.Errorf("%w: %s", ErrNoRequest, request)
		}
		change(t)
		return nil
	})
}

func isRequest(path string) bool {
	table, n := splitRow(path)
	return table == requestTable && n != 0
}

// start runs an asynchronous command and gives the row of its Request.
func (x *exchange) start(ctx context.Context, inv *Invocation) (string, error) {
	if inv.Command == "Device."+timerCommand {
		delay, err := strconv.ParseUint(inv.Args[delaySeconds], 10, 32)
		if err != nil || delay == 0 {
			return "", usp.Errorf(usp.InvalidArguments, "%s must be from 1 to %d", delaySeconds, maxUint32)
		}
		return x.request(ctx, inv, time.Duration(delay)*time.Second)
	}
	s, ok := x.a.device.(Starter)
	if !ok {
		return "", usp.Errorf(usp.CommandFailure, "%s: not in this version", inv.Command)
	}
	request, err := x.request(ctx, inv, 0)
	if err != nil {
		return "", err
	}
	if err := s.Start(ctx, inv, request); err != nil {
		return "", errors.Join(err, x.a.update(context.WithoutCancel(ctx), "", func(t *tx) error { t.drop(request); return nil }))
	}
	return request, nil
}

// request makes the row of a command. With a delay the Agent completes it by itself.
func (x *exchange) request(ctx context.Context, inv *Invocation, delay time.Duration) (path string, err error) {
	err = x.a.update(ctx, x.from, func(t *tx) error {
		row, err := t.request(inv, delay)
		if err == nil {
			path = row
			x.a.answering(row, x.sent)
		}
		return err
	})
	return path, err
}

func (t *tx) request(inv *Invocation, delay time.Duration) (string, error) {
	def := byPath[requestTable+"{i}."]
	if _, err := t.initial(def, requestTable); err != nil {
		return "", err
	}
	if utf8.RuneCountInString(inv.CommandKey) > defaultLength {
		return "", usp.Errorf(usp.InvalidArguments, "the command key is longer than %d characters", defaultLength)
	}
	values := map[string]string{"Originator": string(inv.Controller), "Command": inv.Command, "CommandKey": inv.CommandKey}
	if delay > 0 {
		values["Status"], values[dueKey] = statusActive, t.now.Add(delay).UTC().Format(time.RFC3339Nano)
	} else {
		args, err := json.Marshal(inv.Args)
		if err != nil {
			return "", fmt.Errorf("encode arguments: %w", err)
		}
		if len(args) > maxArguments {
			return "", usp.Errorf(usp.ResourcesExceeded, "the arguments are longer than %d bytes", maxArguments)
		}
		values[argsKey] = string(args)
	}
	n := t.rows.last[requestTable] + 1
	path := requestTable + itoa(n) + "."
	t.rows.put(path, values)
	t.generate(def, path, n)
	if other := t.twin(path, def.Keys[0]); other != "" {
		return "", usp.Errorf(usp.ResourcesExceeded, "the same command with the same command key is running as %s", other)
	}
	t.changed[path], t.changed[requestTable] = true, true
	t.raised = append(t.raised, &ObjectCreation{Path: path, Keys: t.keys(def, path)})
	t.counted(def, requestTable, 1)
	return path, nil
}

// complete removes the row of a Request and raises OperationComplete.
func (t *tx) complete(request string, output map[string]string, err *usp.Error) {
	object, command := splitCommand(t.rows.get(request, "Command"))
	t.raised = append(t.raised, &OperationComplete{Object: object, Command: command, CommandKey: t.rows.get(request, "CommandKey"),
		Output: output, Err: err, request: request})
	t.drop(request)
}

func splitCommand(path string) (object, name string) {
	dot := strings.LastIndexByte(path, '.') + 1
	return path[:dot], path[dot:]
}

// cancel ends a running command because a Controller wants it.
func (x *exchange) cancel(ctx context.Context, request string) error {
	var before string
	s, starts := x.a.device.(Starter)
	err := x.a.update(ctx, x.from, func(t *tx) error {
		switch {
		case !t.exists(request):
			return usp.Errorf(usp.ObjectDoesNotExist, "%s does not exist", request)
		case t.rows.values[request][dueKey] != "" || !starts:
			before = ""
			t.complete(request, nil, usp.Errorf(usp.CommandCanceled, "canceled"))
		default:
			before = t.rows.get(request, "Status")
			t.put(request, "Status", statusCanceling)
		}
		return nil
	})
	if err != nil || before == "" {
		return err
	}
	if err := s.Cancel(ctx, request); err != nil {
		return errors.Join(err, x.a.update(context.WithoutCancel(ctx), "", func(t *tx) error {
			if t.exists(request) {
				t.put(request, "Status", before)
			}
			return nil
		}))
	}
	return nil
}

// requestDue is when the Agent itself completes a Request, the zero time for never.
func requestDue(rs *rowSet, path string) time.Time {
	due, _ := parseTime(rs.values[path][dueKey])
	return due
}

// answering says when the response has left that OperationComplete of a Request must not overtake.
func (a *Agent) answering(request string, sent <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.st.answers == nil {
		a.st.answers = make(map[string]<-chan struct{})
	}
	a.st.answers[request] = sent
}

// answered is closed when the OperateResp that tells of a Request has left; nil where that was in an earlier life of the Agent.
func (a *Agent) answered(request string) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.st.answers[request]
}

// restart has the DataModel take up the commands that were running when the process ended.
func (a *Agent) restart(ctx context.Context) error {
	s, starts := a.device.(Starter)
	rs := a.rows()
	for _, path := range rs.instances(requestTable) {
		args, ok := rs.values[path][argsKey]
		if !ok {
			continue
		}
		inv := &Invocation{Command: rs.get(path, "Command"), CommandKey: rs.get(path, "CommandKey"),
			Controller: usp.EndpointID(rs.get(path, "Originator"))}
		err := json.Unmarshal([]byte(args), &inv.Args)
		switch {
		case err != nil:
		case starts:
			err = s.Start(ctx, inv, path)
		default:
			err = usp.Errorf(usp.CommandFailure, "%s: not in this version", inv.Command)
		}
		if err == nil {
			continue
		}
		if err := a.Complete(ctx, path, nil, a.asError(ctx, err)); err != nil && !errors.Is(err, ErrNoRequest) {
			return err
		}
	}
	return nil
}
