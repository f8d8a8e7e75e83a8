package quirks

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	profileKeys = keysOf(Profile{})
	matchKeys   = keysOf(Match{})
	setKeys     = keysOf(Quirks{})
)

func keysOf(v any) (keys []string) {
	for f := range reflect.TypeOf(v).Fields() {
		keys = append(keys, f.Tag.Get("yaml"))
	}
	return keys
}

// child is the value of a key, nil if there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func checkKeys(n *yaml.Node, known []string) error {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: must have keys: %s", n.Line, strings.Join(known, ", "))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; !slices.Contains(known, key.Value) {
			return fmt.Errorf("line %d: unknown key %q: write one of %s", key.Line, key.Value, strings.Join(known, ", "))
		}
	}
	return nil
}

// checkSaid refuses keys of set whose values would mean that nothing was said.
func checkSaid(n *yaml.Node, set reflect.Value) error {
	if n == nil {
		return nil
	}
	for i, key := range setKeys {
		if v := child(n, key); v != nil && set.Field(i).IsZero() {
			return fmt.Errorf("line %d: %s %q says nothing: leave it out", v.Line, key, v.Value)
		}
	}
	return nil
}

// isOUI says whether s is six hexadecimal digits.
func isOUI(s string) bool {
	const digits = 6
	return len(s) == digits && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
