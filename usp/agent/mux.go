package agent

import (
	"context"
	"errors"
	"strings"

	"isthmus/usp"
)

// isOwn says that a path is served from the Agent's own tables. "Device." itself is served by both sides.
func isOwn(path string) bool {
	for _, root := range ownRoots {
		if strings.HasPrefix(path, root) || len(path) == len(root)-1 && strings.HasPrefix(root, path) {
			return true
		}
	}
	return false
}

// read answers Queries with what the Controller may read. Rows and objects without their parameters are all there.
func (x *exchange) read(ctx context.Context, queries []Query) []Reading {
	if len(queries) == 0 {
		return nil
	}
	if len(queries) > someQueries {
		return x.readOnce(ctx, queries)
	}
	out := x.fetch(ctx, queries)
	x.hide(queries, out)
	return out
}

// fetch answers Queries from the side that has them. It never waits for the CPE where it is not asked about.
func (x *exchange) fetch(ctx context.Context, queries []Query) []Reading {
	out := make([]Reading, len(queries))
	var v *view
	var device []Query
	var at []int
	for i, q := range queries {
		if x.unreadable(&q) {
			continue
		}
		if x.closed(q.Path) {
			out[i].Err = unsupported(q.Path)
			continue
		}
		if q.Path == "Device." || isOwn(q.Path) {
			if v == nil {
				v = x.a.view()
			}
			out[i] = v.read(q)
		}
		if !isOwn(q.Path) {
			device, at = append(device, q), append(at, i)
		}
	}
	if len(device) == 0 {
		return out
	}
	for i, r := range x.a.device.Read(ctx, device) {
		x.waits = x.waits || errors.Is(r.Err, ErrWait)
		if r.Err == nil && device[i].Path == "Device." {
			r.Objects = append(r.Objects, withoutRoot(out[at[i]].Objects)...)
		}
		x.withLegacy(ctx, device[i], &r)
		out[at[i]] = r
	}
	return out
}

// withoutRoot leaves out "Device.", which the device's side has, and whose parameters are all there.
func withoutRoot(objects []Object) []Object {
	if len(objects) > 0 && objects[0].Path == "Device." {
		return objects[1:]
	}
	return objects
}

// supported is the supported data model that has a path.
func (x *exchange) supported(ctx context.Context, path string) (*Model, error) {
	if isOwn(path) || x.closed(path) {
		return ownModel, nil // which has nothing of what is closed
	}
	m, err := x.a.device.Supported(ctx)
	if err != nil {
		x.waits = x.waits || errors.Is(err, ErrWait)
		return nil, x.a.asError(ctx, err)
	}
	return m, nil
}

// write sets parameters, all or none. The device is the only one that can refuse late, so the Agent's own part is tried before and done after.
func (x *exchange) write(ctx context.Context, writes []Write) ([]Write, error) {
	var own, device []Write
	for _, w := range writes {
		if isOwn(w.Path) {
			own = append(own, w)
		} else {
			device = append(device, w)
		}
	}
	var done []Write
	if len(own) > 0 && len(device) > 0 {
		if _, err := x.a.begin(x.a.rows(), x.from).set(own); err != nil {
			return nil, err
		}
	}
	if len(device) > 0 {
		var err error
		if done, err = x.a.device.Set(ctx, device); err != nil {
			return nil, err
		}
	}
	if len(own) == 0 {
		return done, nil
	}
	err := x.a.update(ctx, x.from, func(t *tx) error {
		set, err := t.set(own)
		if err != nil {
			return err
		}
		done = append(done, set...)
		return nil
	})
	return done, err
}

// create adds rows on both sides; with atomic the Agent's own are tried before the device's are created.
func (x *exchange) create(ctx context.Context, rows []Creation, atomic bool) []Created {
	var own, device []int
	for i, c := range rows {
		if isOwn(c.Table) {
			own = append(own, i)
		} else {
			device = append(device, i)
		}
	}
	out := make([]Created, len(rows))
	if atomic && len(own) > 0 && len(device) > 0 {
		if i, c := addAll(x.a.begin(x.a.rows(), x.from), rows, own); i >= 0 {
			return onlyFailed(len(rows), i, c.Err)
		}
	}
	if len(device) > 0 {
		for j, c := range x.a.device.Add(ctx, pick(rows, device), atomic) {
			out[device[j]] = c
		}
		if atomic && out[device[0]].Err != nil {
			for _, i := range own {
				out[i].Err = ErrCollateral
			}
			return out
		}
	}
	if len(own) == 0 {
		return out
	}
	err := x.a.update(ctx, x.from, func(t *tx) error {
		for _, i := range own {
			out[i] = t.add(rows[i])
			if out[i].Err != nil && atomic {
				err := out[i].Err
				out = onlyFailed(len(rows), i, err)
				return err
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, firstError(out)) {
		for _, i := range own {
			out[i] = Created{Err: err}
		}
	}
	return out
}

func onlyFailed(n, i int, err error) []Created {
	out := make([]Created, n)
	for j := range out {
		out[j].Err = ErrCollateral
	}
	out[i].Err = err
	return out
}

func firstError(rows []Created) error {
	for i := range rows {
		if rows[i].Err != nil && !errors.Is(rows[i].Err, ErrCollateral) {
			return rows[i].Err
		}
	}
	return nil
}

// addAll tries rows; it gives the index of the first that fails, -1 if none does.
func addAll(t *tx, rows []Creation, which []int) (int, Created) {
	for _, i := range which {
		if c := t.add(rows[i]); c.Err != nil {
			return i, c
		}
	}
	return -1, Created{}
}

func pick(rows []Creation, which []int) []Creation {
	out := make([]Creation, len(which))
	for j, i := range which {
		out[j] = rows[i]
	}
	return out
}

// remove deletes instances on both sides, the device's first.
func (x *exchange) remove(ctx context.Context, instances []string) []error {
	out := make([]error, len(instances))
	var own, device []int
	var paths []string
	for i, p := range instances {
		if isOwn(p) {
			own = append(own, i)
		} else {
			device, paths = append(device, i), append(paths, p)
		}
	}
	if len(paths) > 0 {
		for j, err := range x.a.device.Delete(ctx, paths) {
			out[device[j]] = err
		}
	}
	if len(own) == 0 {
		return out
	}
	err := x.a.update(ctx, x.from, func(t *tx) error {
		for _, i := range own {
			out[i] = t.remove(instances[i])
		}
		return nil
	})
	for _, i := range own {
		if err != nil {
			out[i] = err
		}
	}
	return out
}

// run runs one command.
func (x *exchange) run(ctx context.Context, inv *Invocation) (map[string]string, error) {
	if !isOwn(inv.Command) {
		return x.a.device.Operate(ctx, inv)
	}
	row, command := splitCommand(inv.Command)
	if command == contextResetCommand && strings.HasSuffix(row, contextName) {
		return nil, x.a.resetContext(ctx, row)
	}
	switch command {
	case cancelCommand:
		return nil, x.cancel(ctx, row)
	case refreshCommand:
		return nil, x.a.refresh(ctx)
	case addCertificateCommand:
		return nil, x.addCertificate(ctx, inv.Args)
	case addMyCertificateCommand:
		return nil, x.addMyCertificate(ctx, row, inv.Args)
	case deleteCertificateCommand:
		return nil, x.deleteCertificate(ctx, row)
	case fingerprintCommand:
		return x.fingerprint(row, inv.Args["FingerprintAlgorithm"])
	case requestChallengeCommand:
		return x.requestChallenge(ctx, inv.Args)
	case challengeResponseCommand:
		return nil, x.challengeResponse(ctx, inv.Args)
	}
	if command == resetCommand && mtpOf(row) != "" {
		return nil, x.resetSession(usp.EndpointID(x.a.rows().get(controllerOf(row), "EndpointID")))
	}
	if command == forceReconnect {
		return nil, x.resetSession(x.a.behind(row))
	}
	return nil, x.a.update(ctx, x.from, func(t *tx) error {
		t.put(row, "OnBoardingComplete", "false")
		t.onBoard(ctx, row)
		return nil
	})
}
