package legacy

import (
	"errors"
	"slices"
	"strings"

	"isthmus/usp"
	"isthmus/usp/agent"
)

// Change sets one of the CPE's own parameters. From are the indices of the Device:2 writes that it carries out.
type Change struct {
	Write
	From []int
}

const modeEnabled = ".Security.ModeEnabled"

// Writes turns Device:2 writes into one set of the CPE's own, none twice. Each is understood as if those before it had been carried out; a security mode goes
// before all, since ciphers and keys mean nothing without. Errors are *usp.Error: 7014 where two writes want the CPE to have two values in one parameter.
func (m *Map) Writes(root Node, writes []agent.Write) ([]Change, error) {
	order := make([]int, len(writes))
	asked := make(map[string]string, len(writes))
	for i, w := range writes {
		order[i] = i
		if v, twice := asked[w.Path]; twice && v != w.Value {
			return nil, conflict(w.Path)
		}
		asked[w.Path] = w.Value
	}
	slices.SortStableFunc(order, func(a, b int) int { return later(writes[a].Path) - later(writes[b].Path) })
	set := map[string]string{}
	top := written{root, m.root, set}
	var changes []Change
	at := map[string]int{}
	for _, i := range order {
		own, err := m.Write(top, writes[i].Path, writes[i].Value)
		if err != nil {
			return nil, ofParam(err, writes[i].Path)
		}
		for _, w := range own {
			j, again := at[w.Path]
			switch {
			case !again:
				at[w.Path] = len(changes)
				changes = append(changes, Change{w, []int{i}})
			case changes[j].Value == w.Value, w.Default:
				changes[j].From = append(changes[j].From, i)
				changes[j].Default = changes[j].Default && w.Default
				continue
			case changes[j].Default, w.Joins:
				w.Follow = changes[j].Follow
				changes[j] = Change{w, append(changes[j].From, i)}
			default:
				return nil, conflict(writes[i].Path)
			}
			set[w.Path] = w.Value
		}
	}
	return changes, nil
}

// later puts what hangs on a security mode behind it.
func later(path string) int {
	if strings.HasSuffix(path, modeEnabled) {
		return 0
	}
	return 1
}

func conflict(path string) error {
	const msg = "the CPE has one parameter for two that are set to different values"
	return &usp.Error{Code: usp.ValueConflict, Msg: path + ": " + msg, Params: []usp.ParamError{{Path: path, Code: usp.ValueConflict, Msg: msg}}}
}

// ofParam says which parameter an error is about.
func ofParam(err error, path string) error {
	var e *usp.Error
	if !errors.As(err, &e) || len(e.Params) > 0 {
		return err
	}
	return &usp.Error{Code: e.Code, Msg: e.Msg, Params: []usp.ParamError{{Path: path, Code: e.Code, Msg: e.Msg}}}
}

// written is a node as it is once some parameters have been set.
type written struct {
	Node
	path string // an object's ends in a dot
	set  map[string]string
}

func (w written) of(k Node) Node {
	path := w.path + k.Segment()
	if !k.Param() {
		path += "."
	}
	return written{k, path, w.set}
}

// Text is the value that was set, if one was.
func (w written) Text() string {
	if v, ok := w.set[w.path]; ok {
		return v
	}
	return w.Node.Text()
}

// Child is one with what was set.
func (w written) Child(segment string) Node {
	if k := w.Node.Child(segment); k != nil {
		return w.of(k)
	}
	return nil
}

// Each gives those in it with what was set.
func (w written) Each(f func(Node)) {
	w.Node.Each(func(k Node) { f(w.of(k)) })
}
