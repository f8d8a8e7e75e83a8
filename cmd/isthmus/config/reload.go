package config

import (
	"fmt"
	"reflect"
)

// Changes names the keys by which c differs from old: those that a reload puts into force, and those that need a restart. Of the files that are named
// it knows what Load has read of them: secrets, credentials, rules and CA certificates, not certificates and private keys.
func (c *Config) Changes(old *Config) (reload, restart []string) {
	edited := func(key string) bool { return c.CAFiles[key] != old.CAFiles[key] }
	changes(reflect.ValueOf(c).Elem(), reflect.ValueOf(old).Elem(), "", edited, func(key, tag string, reloads, both bool) {
		if reloads && (tag == "" || both) {
			reload = append(reload, key)
		} else {
			restart = append(restart, key)
		}
	})
	return reload, restart
}

// changes tells of each key that differs, or whose file was edited, its reload tag, whether it has one, and whether it is set in both.
func changes(v, old reflect.Value, path string, edited func(key string) bool, tell func(key, tag string, reloads, both bool)) {
	fields(v, func(name string, f reflect.Value, field reflect.StructField) {
		was, _, _ := fieldOf(old, name)
		key := join(path, name)
		tag, reloads := field.Tag.Lookup("reload")
		_, isScalar := f.Addr().Interface().(scalar)
		switch {
		case reloads || isScalar:
		case f.Kind() == reflect.Struct:
			changes(f, was, key, edited, tell)
			return
		case f.Kind() == reflect.Pointer && !f.IsNil() && !was.IsNil():
			changes(f.Elem(), was.Elem(), key, edited, tell)
			return
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct && f.Len() == was.Len() && !scalars(f):
			for i := range f.Len() {
				changes(f.Index(i), was.Index(i), fmt.Sprintf("%s[%d]", key, i), edited, tell)
			}
			return
		}
		if !same(f, was) || edited(key) {
			tell(key, tag, reloads, !f.IsZero() && !was.IsZero())
		}
	})
}

// scalars says whether a list is one of scalars of ours.
func scalars(list reflect.Value) bool {
	_, is := reflect.New(list.Type().Elem()).Interface().(scalar)
	return is
}

// same takes an empty list or map for one that is not there.
func same(v, def reflect.Value) bool {
	if k := v.Kind(); (k == reflect.Slice || k == reflect.Map) && v.Len() == 0 {
		return def.Len() == 0
	}
	return reflect.DeepEqual(v.Interface(), def.Interface())
}
