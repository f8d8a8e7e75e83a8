package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// NotInThisVersion is what is said of keys, values and commands that a later version brings.
const NotInThisVersion = "not in this version"

// refuseLater names the keys of section v that are set to what only a later version can do. def is the section with its defaults;
// later says that the section as a whole is of a later version.
func (l *loader) refuseLater(v, def reflect.Value, path string, later bool) {
	fields(v, func(name string, f reflect.Value, field reflect.StructField) {
		d, _, _ := fieldOf(def, name)
		key := join(path, name)
		_, tagged := field.Tag.Lookup("later")
		_, isScalar := f.Addr().Interface().(scalar)
		switch {
		case f.Kind() == reflect.Struct && !isScalar:
			l.refuseLater(f, d, key, later || tagged)
		case later || tagged:
			if !same(f, d) {
				l.add(key, "%s: leave it out", NotInThisVersion)
			}
		case f.Kind() == reflect.Slice:
			l.refuseLaterEntries(f, key)
		case f.Kind() == reflect.Pointer:
			if !f.IsNil() {
				def := reflect.New(f.Type().Elem()).Elem()
				setDefaults(def)
				l.refuseLater(f.Elem(), def, key, false)
			}
		case field.Tag.Get("built") != "":
			built, known := field.Tag.Get("built"), strings.Split(field.Tag.Get("oneof"), ",")
			if f.String() != built && slices.Contains(known, f.String()) {
				l.add(key, "%q is %s: write %s", f.String(), NotInThisVersion, built)
			}
		}
	})
}

func (l *loader) refuseLaterEntries(list reflect.Value, key string) {
	def := reflect.New(list.Type().Elem())
	if _, isScalar := def.Interface().(scalar); isScalar || def.Elem().Kind() != reflect.Struct {
		return
	}
	setDefaults(def.Elem())
	for i := range list.Len() {
		l.refuseLater(list.Index(i), def.Elem(), fmt.Sprintf("%s[%d]", key, i), false)
	}
}

// same takes an empty list or map for one that is not there.
func same(v, def reflect.Value) bool {
	if k := v.Kind(); (k == reflect.Slice || k == reflect.Map) && v.Len() == 0 {
		return def.Len() == 0
	}
	return reflect.DeepEqual(v.Interface(), def.Interface())
}
