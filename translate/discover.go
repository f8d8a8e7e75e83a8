package translate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// prepare does what a session owes the CPE before it serves anybody: finish what an earlier session left, learn the data model, set
// notification attributes.
func (d *Device) prepare(ctx context.Context, s *cwmp.Session) error {
	c := &caller{d: d, next: s}
	contested := d.uncontested() != nil
	if !contested {
		if err := d.rollBack(ctx, c); err != nil {
			return fmt.Errorf("undoing an unfinished Add: %w", err)
		}
		if err := d.reviveAll(ctx, c); err != nil {
			return fmt.Errorf("switching on what was switched off for a restart: %w", err)
		}
	}
	d.mu.RLock()
	learn := d.learns()
	rebooted, bootstrapped := d.rebooted, d.head.Bootstrapped
	d.mu.RUnlock()
	if learn {
		if err := d.discover(ctx, c); err != nil {
			return fmt.Errorf("reading the data model: %w", err)
		}
	}
	if err := d.learnReach(ctx, c, s.Inform); err != nil {
		return fmt.Errorf("reading how the CPE can be reached: %w", err)
	}
	if contested {
		return nil
	}
	if err := d.attend(ctx, c, s.Inform, rebooted, learn); err != nil {
		var ue *usp.Error
		if err = fmt.Errorf("looking after subscriptions: %w", err); !errors.As(err, &ue) {
			return err
		}
		d.p.log.Warn("the CPE cannot be compared", "device", d.id, "session", s.ID, "err", err)
	}
	if !bootstrapped {
		return nil
	}
	d.mu.Lock()
	d.head.Bootstrapped = false
	d.mu.Unlock()
	return d.putHead(ctx)
}

// learns says whether the data model is to be read. d.mu is held.
func (d *Device) learns() bool {
	h := &d.head
	return d.model == nil || h.ShapeOf != h.Software || h.Bootstrapped || h.Mapping != d.mapping()
}

// discover reads all names and values of a CPE. Nothing of it is seen before all of it is known, but the changes of a model that is known already:
// nobody would find them again if the session were lost.
func (d *Device) discover(ctx context.Context, c cwmp.Caller) error {
	var n news
	err := d.readAll(ctx, c, &n)
	return errors.Join(err, d.tell(ctx, &n))
}

func (d *Device) readAll(ctx context.Context, c cwmp.Caller, n *news) error {
	start := time.Now()
	if err := d.load(ctx); err != nil {
		return err
	}
	d.mu.RLock()
	root, model := d.head.Root, d.cpe().Model()
	d.mu.RUnlock()
	like := d.p.kin.of(model)
	var rpcs []string
	if like != nil {
		rpcs = like.rpcs
	}
	if rpcs == nil { // the first of them may have been asked too early
		resp, err := cwmp.Call(ctx, c, &cwmp.GetRPCMethods{})
		var f *cwmp.Fault
		if err != nil && !errors.As(err, &f) {
			return err
		}
		if resp != nil {
			rpcs = d.p.shared(resp.MethodList)
		}
	}
	listed := time.Now().UnixMilli()
	names, err := d.listAll(ctx, c, root, like)
	if err != nil {
		return err
	}
	d.mu.Lock()
	was := d.leaving(root, names)
	n.created, n.deleted = d.tree.listed(root, names, listed)
	d.head.Device1 = root == deviceRoot && !datamodel.Device2(func(name string) bool { return d.tree.get(name) != nil })
	d.mu.Unlock()
	var read []string
	d.mu.RLock()
	view := d.view()
	d.tree.walk(root, 0, func(path string, k *node) {
		if k.param && len(view.Params(path)) > 0 {
			read = append(read, path)
		}
	})
	if interval := root + intervalName; d.tree.get(interval) != nil {
		read = append(read, interval)
	}
	d.mu.RUnlock()
	err = d.values(ctx, c, read, n)
	n.created, n.deleted = d.renumbered(was, n.created, n.deleted, listed)
	if err != nil {
		return err
	}
	d.learnBooleans(ctx)
	if err := d.learnInterval(ctx, c, root); err != nil {
		return err
	}
	d.mu.Lock()
	if rpcs != nil {
		d.head.RPCs = rpcs
	}
	d.head.ShapeOf, d.head.Mapping = d.head.Software, d.mapping()
	d.head.OneImage = d.tree != nil && d.tree.get(root+imageTable[len(deviceRoot):]) == nil &&
		(len(d.head.RPCs) == 0 || slices.Contains(d.head.RPCs, "Download"))
	d.setImage()
	d.mu.Unlock()
	if err := d.learn(ctx, nil); err != nil {
		return err
	}
	if err := d.putHead(ctx); err != nil {
		return err
	}
	if err := d.save(ctx); err != nil {
		return err
	}
	d.p.kin.met(model, rpcs, root, names)
	d.p.m.discovery.Observe(time.Since(start).Seconds())
	d.p.log.Info("data model read", "device", d.id, "parameters", len(read), "duration", time.Since(start))
	return nil
}

// intervalName is how often the CPE informs, below its root.
const intervalName = "ManagementServer.PeriodicInformInterval"

// learnInterval keeps how often the CPE informs, so that a Controller can be told when it is expected. One that does not list the parameter is asked for it.
func (d *Device) learnInterval(ctx context.Context, c cwmp.Caller, root string) error {
	name, value := root+intervalName, ""
	d.mu.RLock()
	if n := d.tree.get(name); n != nil {
		value = n.value
	}
	d.mu.RUnlock()
	if value == "" {
		resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: []string{name}})
		var f *cwmp.Fault
		if err != nil && !errors.As(err, &f) {
			return err
		}
		if resp != nil && len(resp.ParameterList) > 0 {
			value = resp.ParameterList[0].Value
		}
	}
	if seconds, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && seconds > 0 {
		d.mu.Lock()
		d.head.Interval = seconds
		d.mu.Unlock()
	}
	return nil
}

const deviceRoot = "Device."

// learn makes the shape of what the tree holds, on top of an older shape, stores it and derives the model; the head is left for the
// caller to put.
func (d *Device) learn(ctx context.Context, old *datamodel.Shape) error {
	d.mu.RLock()
	names := d.view().Names(d.tree)
	rpcs := d.head.RPCs
	d.mu.RUnlock()
	if len(names) == 0 {
		names = []datamodel.Name{{Path: deviceRoot}}
	}
	shape := datamodel.BuildShape(names)
	if old != nil {
		shape = old.Merge(shape)
	}
	hash := shape.Hash()
	model, err := d.p.models.add(ctx, d.p.store, shape, rpcs)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.head.Shape = hash
	d.setModel(model)
	d.mu.Unlock()
	return nil
}

// reshape extends the shape where the tree has names that the model lacks: the columns of a table that was empty, say.
func (d *Device) reshape(ctx context.Context) error {
	d.mu.RLock()
	if d.model == nil || d.tree == nil {
		d.mu.RUnlock()
		return nil
	}
	unknown := slices.ContainsFunc(d.view().Names(d.tree), func(n datamodel.Name) bool {
		return !strings.HasSuffix(n.Path, ".") && !concealed(n.Path) && !d.supports(n.Path)
	})
	hash := d.head.Shape
	d.mu.RUnlock()
	if !unknown {
		return nil
	}
	old, err := loadShape(ctx, d.p.store, hash)
	if err != nil {
		return err
	}
	if err := d.learn(ctx, old); err != nil {
		return err
	}
	return d.putHead(ctx)
}

// models derives the supported data model of a shape once for all devices that have it.
type models struct {
	mu     chan struct{} // a lock that a ctx can give up on; it is held while a model is derived
	byHash map[string]*agent.Model
}

func newModels() *models {
	return &models{mu: make(chan struct{}, 1), byHash: map[string]*agent.Model{}}
}

func shapeRecord(hash string) string { return "shape/" + hash }

func loadShape(ctx context.Context, st store.Store, hash string) (*datamodel.Shape, error) {
	b, err := st.Fleet(ctx, shapeRecord(hash))
	if err != nil {
		return nil, fmt.Errorf("reading shape %s: %w", hash, err)
	}
	s, err := datamodel.DecodeShape(b)
	if err != nil {
		return nil, fmt.Errorf("reading shape %s: %w", hash, err)
	}
	return s, nil
}

// maxModels bounds the models that are shared; a fleet has as many as it has firmwares.
const maxModels = 4096

// add stores a shape and gives its model.
func (m *models) add(ctx context.Context, st store.Store, s *datamodel.Shape, rpcs []string) (*agent.Model, error) {
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.unlock()
	key := modelKey(s.Hash(), rpcs)
	if model := m.byHash[key]; model != nil {
		return model, nil
	}
	if err := st.PutFleet(ctx, shapeRecord(s.Hash()), nil, s.Encode()); err != nil && !errors.Is(err, store.ErrConflict) {
		return nil, fmt.Errorf("keeping a shape: %w", err)
	}
	model := datamodel.Model(s, rpcs)
	if len(m.byHash) < maxModels {
		m.byHash[key] = model
	}
	return model, nil
}

// get gives the model of a stored shape.
func (m *models) get(ctx context.Context, st store.Store, hash string, rpcs []string) (*agent.Model, error) {
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.unlock()
	key := modelKey(hash, rpcs)
	if model := m.byHash[key]; model != nil {
		return model, nil
	}
	s, err := loadShape(ctx, st, hash)
	if err != nil {
		return nil, err
	}
	model := datamodel.Model(s, rpcs)
	if len(m.byHash) < maxModels {
		m.byHash[key] = model
	}
	return model, nil
}

func (m *models) lock(ctx context.Context) error {
	select {
	case m.mu <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *models) unlock() { <-m.mu }

// modelKey names a model: the shape, and those RPCs that make a difference.
func modelKey(hash string, rpcs []string) string {
	if len(rpcs) == 0 {
		return hash + " unknown"
	}
	for _, name := range datamodel.Methods {
		if slices.Contains(rpcs, name) {
			hash += " " + name
		}
	}
	return hash
}

// tokenLength is that of what token makes.
const tokenLength = 24

// token is a fresh CommandKey or ParameterKey: unique, and within the 32 characters that CWMP allows.
func token(random func() [12]byte) string {
	b := random()
	return hex.EncodeToString(b[:])
}
