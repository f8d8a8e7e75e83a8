package translate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/translate/legacy"
	"isthmus/translate/quirks"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// A diagnostics command of USP is an object in CWMP: its inputs and its DiagnosticsState "Requested" are written, the CPE runs the test when the session has
// ended, informs with 8 DIAGNOSTICS COMPLETE, and has the results in the same object until somebody writes to it (TR-181, Appendix on diagnostics).

// diagnosis is the kind of the asynchronous ones.
type diagnosis struct{}

// The values of a DiagnosticsState that mean something here. The word for success was Completed once.
const (
	stateNone      = "None"
	stateRequested = "Requested"
	stateCanceled  = "Canceled"
	stateComplete  = "Complete"
	stateCompleted = "Completed"
	stateError     = "Error"
	stateOther     = "Error_Other"
)

const (
	classDiagnostics = "diagnostics" // of commands-to-cwmp.tsv
	statusOutput     = "Status"      // the output that is the DiagnosticsState
	// protocolVersion is mandatory in USP; a CPE that has no such parameter does what anyProtocol means.
	protocolVersion = "ProtocolVersion"
	anyProtocol     = "Any"
	memoObject      = "object" // the CPE's diagnostics object
	// diagnosticsPoll is after how long a CPE that says nothing is asked whether a test is over. Asking disturbs what is being measured.
	diagnosticsPoll = 2 * time.Minute
	// occupiedRetry is how soon a test is tried again where somebody else's runs; occupiedPatience is how long theirs may take.
	occupiedRetry    = 30 * time.Second
	occupiedPatience = 10 * time.Minute
	// maxRefused is how many of its results a CPE may refuse one by one until they are given up.
	maxRefused = 8
)

// test is a diagnostics command as a CPE has it.
type test struct {
	command *datamodel.Command
	generic string               // the object in the model
	shown   string               // the object in Device:2
	object  string               // the CPE's own, with the final dot
	state   string               // of its parameters, the one that starts and tells
	inputs  []datamodel.Argument // the others; Param is the CPE's
	outputs []datamodel.Argument
}

// test finds the diagnostics object of a command with its arguments. d.mu is held.
func (d *Device) test(command string, args map[string]string) (*test, error) {
	object := objectOf(command)
	c, ok := datamodel.LookupCommand(agent.GenericPath(command))
	if !ok || c.Class != classDiagnostics || d.tree == nil {
		return nil, usp.Errorf(usp.InvalidPath, "%s is not supported", command)
	}
	t := &test{command: &c, generic: c.Target, object: c.Target, state: c.State, inputs: c.Inputs, outputs: c.Outputs}
	if rest, ok := strings.CutPrefix(c.Target, agent.GenericPath(object)); ok {
		t.object = object + rest
	}
	t.shown = t.object
	own, params := d.view().Diagnostics(d.tree, t.shown, args)
	if own == "" && args[legacy.Interface] != "" {
		return nil, usp.Errorf(usp.InvalidArguments, "the CPE has no such test over %s", args[legacy.Interface])
	}
	t.object = own
	if len(params) > 0 {
		t.state = cmp.Or(params[t.state], t.state)
		t.inputs, t.outputs = renamed(t.inputs, params), renamed(t.outputs, params)
	}
	if d.tree.get(t.object+t.state) == nil {
		return nil, usp.Errorf(usp.ObjectDoesNotExist, "the CPE has no %s", t.object)
	}
	return t, nil
}

// renamed are arguments that are other parameters at the CPE, without those that are none.
func renamed(args []datamodel.Argument, params map[string]string) (own []datamodel.Argument) {
	for _, a := range args {
		switch param, other := params[a.Param]; {
		case !other:
			own = append(own, a)
		case param != "":
			own = append(own, datamodel.Argument{Name: a.Name, Param: param})
		}
	}
	return own
}

// writes are the inputs of a test, its state aside. An argument that was not given is written as empty, or as false, so that the one of an earlier test does
// not count; a number that was not given stays what it is, since the model does not say what it should be. d.mu is held.
func (t *test) writes(d *Device, args map[string]string) ([]cpeWrite, error) {
	var own []cpeWrite
	for _, in := range t.inputs {
		value, given := args[in.Name]
		def := t.command.Args[in.Name]
		path := t.object + in.Param
		n := d.tree.get(path)
		switch {
		case given:
		case def.Type == agent.TypeBoolean:
			value = "false"
		case def.Type != agent.TypeString || len(def.Enum) > 0:
			continue
		}
		asUsual := value == "" || !given || def.Default != nil && *def.Default == value || in.Name == protocolVersion && value == anyProtocol
		switch {
		case n == nil && asUsual:
		case n == nil:
			return nil, usp.Errorf(usp.InvalidArguments, "the CPE has nothing for %s", in.Name)
		case n.writable:
			if p, _ := datamodel.LookupParam(t.generic + in.Param); t.object != t.shown && value != "" && p.Reference != datamodel.NoReference {
				if shown, err := d.view().Writes(d.tree, []agent.Write{{Path: t.shown + in.Name, Value: value}}); err != nil {
					return nil, usp.Errorf(usp.InvalidArguments, "%s cannot be %q at this CPE", in.Name, value)
				} else if len(shown) == 1 {
					value = shown[0].value
				}
			}
			own = append(own, cpeWrite{path: path, value: value, from: []int{len(own)}})
		case !asUsual && !datamodel.Equal(def.Type, n.value, value):
			return nil, usp.Errorf(usp.InvalidArguments, "%s cannot be set at this CPE: it is %q", in.Name, n.value)
		}
	}
	return own, nil
}

// fits checks what a radio is asked to measure: CWMP has one object for all radios, and the test would run on another one. d.mu is held.
func (t *test) fits(d *Device, command string, args map[string]string) error {
	asked := cmp.Or(args["Frequency"], bandOfClass(args["OperatingClass"]))
	if object := objectOf(command); asked != "" && !strings.HasPrefix(t.object, object) {
		for _, o := range d.view().Render(d.tree, agent.Query{Path: object + "OperatingFrequencyBand"}) {
			for _, p := range o.Params {
				if p.Value != "" && p.Value != asked {
					return usp.Errorf(usp.InvalidArguments, "the radio's band is %s, not %s", p.Value, asked)
				}
			}
		}
	}
	return nil
}

// bandOfClass gives the band of a global operating class (IEEE 802.11, Table E-4), "" where it is none of these.
func bandOfClass(class string) string {
	switch n, _ := strconv.Atoi(class); {
	case n >= 81 && n <= 84:
		return "2.4GHz"
	case n >= 115 && n <= 130:
		return "5GHz"
	case n >= 131 && n <= 137:
		return "6GHz"
	}
	return ""
}

// planTest is what a command comes to: its test, and the inputs to be written.
func (d *Device) planTest(ctx context.Context, command string, args map[string]string) (*test, []cpeWrite, error) {
	if err := d.load(ctx); err != nil {
		return nil, nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	t, err := d.test(command, args)
	if err == nil {
		err = t.fits(d, command, args)
	}
	if err != nil {
		return nil, nil, err
	}
	own, err := t.writes(d, args)
	return t, own, err
}

// start writes the inputs and has the CPE run the test once the session is over: in one write, or in two for a CPE that is known to want it so, or shows it
// by refusing the one.
func (t *test) start(ctx context.Context, c cwmp.Caller, d *Device, own []cpeWrite, key string) error {
	if err := d.learnTypes(ctx, c, own); err != nil {
		return err
	}
	path := func(i int) string { return own[i].path }
	state := cpeWrite{path: t.object + t.state, value: stateRequested}
	d.mu.RLock()
	apart := d.habit().DiagnosticsState == quirks.Apart
	d.mu.RUnlock()
	write := func(own ...cpeWrite) error {
		spv, err := d.setValues(own, path)
		if err != nil {
			return err
		}
		if own[len(own)-1].path == state.path {
			spv.ParameterKey = key // that the CPE has begun
		}
		_, err = d.setTyped(ctx, c, spv)
		return err
	}
	if !apart || len(own) == 0 {
		if err := write(append(slices.Clone(own), state)...); !isFault(err) || len(own) == 0 {
			return asRefused(err)
		}
	}
	if err := write(own...); err != nil {
		return asRefused(err)
	}
	return asRefused(write(state))
}

// learnTypes reads those inputs whose types the CPE has not told yet: what is an argument in USP is never read as a parameter.
func (d *Device) learnTypes(ctx context.Context, c cwmp.Caller, own []cpeWrite) error {
	var names []string
	d.mu.RLock()
	for _, w := range own {
		if n := d.tree.get(w.path); n != nil && n.typ == "" {
			names = append(names, w.path)
		}
	}
	d.mu.RUnlock()
	if err := d.values(ctx, c, names, new(news)); !isFault(err) {
		return err
	}
	return nil // the schema has types, too
}

// asRefused makes an answer that is a Fault the error of the command.
func asRefused(err error) error {
	if f := (*cwmp.Fault)(nil); errors.As(err, &f) {
		return refused(f)
	}
	return err
}

// now reads the state of a test.
func (t *test) now(ctx context.Context, c cwmp.Caller) (string, error) {
	return readOne(ctx, c, t.object+t.state)
}

// end reads how a test has ended, whose state is none that runs: its outcome, with the outputs that the CPE has.
func (t *test) end(ctx context.Context, c cwmp.Caller, d *Device, state string, own []cpeWrite) (*outcome, error) {
	switch state {
	case "", stateNone:
		return &outcome{err: usp.Errorf(usp.CommandFailure, "the CPE has given the test up: it has rebooted, or somebody has stopped it")}, nil
	case stateCanceled:
		return &outcome{err: usp.Errorf(usp.CommandFailure, "the test was canceled at the CPE")}, nil
	}
	values, err := t.results(ctx, c, d)
	var f *cwmp.Fault
	if errors.As(err, &f) {
		return failed(f.Code, f.String), nil
	}
	if err != nil {
		return nil, err
	}
	for _, w := range own {
		in := t.input(w.path)
		if v, ok := values[w.path]; ok && slices.Contains(t.command.Mandatory, in) && t.command.Args[in].Type == agent.TypeString && v.Value != "" &&
			!strings.EqualFold(strings.Trim(v.Value, " ."), strings.Trim(w.value, " .")) {
			return &outcome{err: usp.Errorf(usp.CommandFailure, "somebody else has begun another test at the CPE in between: its %s is not the one asked for", in)}, nil
		}
	}
	status := t.status(state)
	if !slices.Contains(t.command.Out, statusOutput) && status != stateComplete {
		return &outcome{err: usp.Errorf(usp.CommandFailure, "the test has ended with %s", state)}, nil
	}
	return &outcome{output: t.output(d, values, status)}, nil
}

// input names the argument that a parameter is.
func (t *test) input(path string) string {
	for _, in := range t.inputs {
		if t.object+in.Param == path {
			return in.Name
		}
	}
	return ""
}

func (diagnosis) begin(ctx context.Context, d *Device, op *operation) error {
	t, _, err := d.planTest(ctx, op.Command, op.Args)
	if err == nil {
		op.Memo = map[string]string{memoObject: t.object}
	}
	return err
}

func (diagnosis) lane(op *operation) string { return op.Memo[memoObject] }

func (diagnosis) send(ctx context.Context, c cwmp.Caller, d *Device, op *operation) (*outcome, error) {
	t, own, err := d.planTest(ctx, op.Command, op.Args)
	if err != nil {
		return nil, err
	}
	state, err := t.now(ctx, c)
	if err != nil {
		return nil, err
	}
	if state == stateRequested && op.giveWay(d, time.Now()) {
		return nil, errNotBegun // it is the user's, or another management system's
	}
	return nil, t.start(ctx, c, d, own, op.Token)
}

// giveWay puts an operation off while the CPE is at the test of somebody else, and says whether it did.
func (op *operation) giveWay(d *Device, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.Occupied.IsZero() {
		op.Occupied = now
	}
	if now.Sub(op.Occupied) >= occupiedPatience {
		return false
	}
	op.NotBefore = now.Add(occupiedRetry)
	return true
}

func (diagnosis) look(ctx context.Context, c cwmp.Caller, d *Device, op *operation, in *cwmp.Inform) (*outcome, error) {
	t, own, err := d.planTest(ctx, op.Command, op.Args)
	if u := (*usp.Error)(nil); errors.As(err, &u) {
		return &outcome{err: u}, nil // the CPE is not what it was
	}
	if err != nil {
		return nil, err
	}
	d.mu.RLock()
	answered := op.Answered
	d.mu.RUnlock()
	if !answered {
		key, err := d.parameterKey(ctx, c)
		if err != nil && !isFault(err) {
			return nil, err
		}
		answered = key != nil && *key == op.Token
	}
	state, err := t.now(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case state == stateRequested && in.Has(cwmp.EventBoot):
		return &outcome{err: usp.Errorf(usp.CommandFailure, "the CPE has rebooted while the test ran")}, nil
	case state == stateRequested:
		return nil, nil
	case !answered:
		return nil, errNotBegun
	}
	return t.end(ctx, c, d, state, own)
}

func (diagnosis) poll(*operation) time.Duration { return diagnosticsPoll }

// cancel: Canceled is a state from Device:2.10 on; older CPE stop at None.
func (diagnosis) cancel(ctx context.Context, c cwmp.Caller, d *Device, op *operation) error {
	d.mu.RLock()
	t, err := d.test(op.Command, op.Args)
	d.mu.RUnlock()
	if err != nil {
		return err
	}
	for _, state := range []string{stateCanceled, stateNone} {
		var spv *cwmp.SetParameterValues
		w := []cpeWrite{{path: t.object + t.state, value: state}}
		if spv, err = d.setValues(w, func(int) string { return w[0].path }); err != nil {
			return err
		}
		if _, err = cwmp.Call(ctx, c, spv); !isFault(err) {
			return err
		}
	}
	return err
}

func (diagnosis) expire(*Device, *operation) *outcome { return nil }

// syncPoll is how long after a session a CPE is asked whether a test is over that somebody waits for.
const syncPoll = time.Second

// diagnose runs a diagnostics command that is synchronous in USP: the answer waits for the test, as long as there is time. What is under way then is a test
// without consequences.
func (d *Device) diagnose(ctx context.Context, inv *agent.Invocation) (map[string]string, error) {
	if err := d.uncontested(); err != nil {
		return nil, err
	}
	d.hold()
	defer d.release()
	t, own, err := d.planTest(ctx, inv.Command, inv.Args)
	if err != nil {
		return nil, uspError(err, operating)
	}
	release, err := d.takeTest(ctx, t.object)
	if err != nil {
		return nil, err
	}
	defer release()
	err = d.do(ctx, &job{last: true, talk: func(ctx context.Context, c cwmp.Caller) error {
		return t.start(ctx, c, d, own, token(d.p.random))
	}})
	if err != nil {
		return nil, uspError(err, operating)
	}
	for {
		var out *outcome
		err := d.do(ctx, &job{last: true, talk: func(ctx context.Context, c cwmp.Caller) error {
			state, err := t.now(ctx, c)
			if err == nil && state != stateRequested {
				out, err = t.end(ctx, c, d, state, own)
			}
			return err
		}})
		switch {
		case err != nil:
			return nil, uspError(err, operating)
		case out != nil && out.err != nil:
			return nil, out.err
		case out != nil:
			return out.output, nil
		}
		if err := sleep(ctx, syncPoll); err != nil {
			return nil, usp.Errorf(usp.CommandFailure, "the test was not over in time")
		}
	}
}

// takeTest has one synchronous test at a time use a diagnostics object.
func (d *Device) takeTest(ctx context.Context, object string) (release func(), err error) {
	for {
		d.mu.Lock()
		busy := d.testing[object]
		if busy == nil {
			if d.testing == nil {
				d.testing = map[string]chan struct{}{}
			}
			done := make(chan struct{})
			d.testing[object] = done
			d.mu.Unlock()
			return func() {
				d.mu.Lock()
				if delete(d.testing, object); len(d.testing) == 0 {
					d.testing = nil
				}
				d.mu.Unlock()
				close(done)
			}, nil
		}
		d.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, usp.Errorf(usp.ResourcesExceeded, "another test runs at %s", object)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
