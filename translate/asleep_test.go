package translate

import (
	"reflect"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// bareDevice is a Device of which nothing but its state is of use.
func bareDevice(p *Proxy, a *awake) *Device {
	d := &Device{p: p, awake: a}
	d.mu.d = d
	return d
}

// head is a copy of a Device's.
func (w *world) head(id usp.EndpointID) *head {
	d := w.device(id)
	d.mu.RLock()
	defer d.mu.RUnlock()
	h := d.awake.head
	return &h
}

// TestSleepForgetsNothing: whatever field of a Device has a value, the Device has it again when it wakes, or does not fall asleep.
func TestSleepForgetsNothing(t *testing.T) {
	now := time.Now()
	rich := 0
	try := func(name string, set func(d *Device)) {
		w := &Proxy{}
		w.opts.View = func(string) View { return identity{} }
		d := bareDevice(w, newAwake())
		d.agent, d.inform.at = &agent.Agent{}, now.Round(0)
		set(d)
		d.head.Since = d.head.Since.UTC()
		d.setImage()
		before := d.awake
		d.doze(now)
		if d.awake != nil {
			return // it stays awake
		}
		rich++
		d.mu.Lock()
		after := d.awake
		before.wake, after.wake = nil, nil
		before.haste, after.haste = haste{}, haste{} // it is calm
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%s is lost", name)
		}
	}
	for _, part := range []struct {
		prefix string
		of     func(*Device) reflect.Value
	}{
		{"", func(d *Device) reflect.Value { return reflect.ValueOf(d.awake).Elem() }},
		{"head.", func(d *Device) reflect.Value { return reflect.ValueOf(&d.awake.head).Elem() }},
		{"inform.", func(d *Device) reflect.Value { return reflect.ValueOf(&d.awake.inform).Elem() }},
	} {
		typ := part.of(bareDevice(nil, newAwake())).Type()
		for i := range typ.NumField() {
			switch name := part.prefix + typ.Field(i).Name; name {
			case "wake", "used", "known", "map098", "image", "haste", "resting", "inform.names": // of now alone, or made anew
			case "head", "inform":
			default:
				try(name, func(d *Device) { fill(t, part.of(d).Field(i), now.Round(0)) })
			}
		}
	}
	if rich < 30 {
		t.Errorf("only %d fields of a Device let it sleep", rich)
	}
}

// A Device that has carried out a command falls asleep like any other, and another command wakes it.
func TestSleepAfterCommand(t *testing.T) {
	w := newWorld(t, nil)
	url, _ := files(t)
	c, id := w.boot(nil)
	w.watch(id)
	d := w.device(id)
	for _, key := range []string{"one", "two"} {
		w.begin(id, logCommand, key, upload(url))
		w.notified(1, completed(key))
		w.idleOperations(id)
		w.inform(c, cwmp.EventPeriodic)
		w.over(id)
		d.unload(w.ctx, 0)
		d.mu.Lock()
		d.doze(time.Now().Add(time.Hour)) // it is calm by then
		asleep := d.awake == nil
		d.mu.RWMutex.Unlock()
		if !asleep {
			t.Errorf("awake after the command %s", key)
		}
	}
}

// fill gives a field a value.
func fill(t *testing.T, v reflect.Value, now time.Time) {
	t.Helper()
	v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem() // unexported ones, too
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(now))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("value")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case reflect.Chan:
		v.Set(reflect.MakeChan(v.Type(), 0))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), now)
		}
	default:
		t.Fatalf("a field of type %s", v.Type())
	}
}
