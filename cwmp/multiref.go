package cwmp

import (
	"fmt"
	"strings"

	"github.com/beevik/etree"
)

// maxReferred bounds the elements that references stand for: a few of them, each naming two others, could stand for any number.
const maxReferred = 1 << 16

// resolve puts what references of SOAP encoding (SOAP 1.1, 5.4.1) name in their place: gSOAP may write a struct as <DeviceId href="#1"> and
// <multiRef id="1"> beside the message. A reference to what is not there, or to what it is part of itself, stays empty.
func resolve(root *etree.Element) error {
	body := childOf(root, "Body")
	if body == nil {
		return nil
	}
	r := resolver{targets: make(map[string]*etree.Element), open: make(map[*etree.Element]bool)}
	for _, el := range body.ChildElements() {
		if id := attribute(el, "id"); id != "" {
			r.targets[id] = el
		}
	}
	if len(r.targets) == 0 {
		return nil
	}
	return r.walk(childOf(body, ""), 0)
}

type resolver struct {
	targets map[string]*etree.Element
	open    map[*etree.Element]bool // targets that the walk is inside of
	visited int
}

func (r *resolver) walk(el *etree.Element, depth int) error {
	if r.visited++; r.visited > maxReferred || depth > maxDepth {
		return fmt.Errorf("%w: references to more than %d elements or %d levels", ErrLimit, maxReferred, maxDepth)
	}
	id, _ := strings.CutPrefix(attribute(el, "href"), "#")
	target := r.targets[id]
	if target != nil && !r.open[target] {
		r.open[target] = true
		defer delete(r.open, target)
		el.Child = target.Child
		if typ := attribute(target, "type"); typ != "" && attribute(el, "type") == "" {
			el.CreateAttr("type", typ)
		}
	}
	for _, t := range el.Child {
		if child, ok := t.(*etree.Element); ok {
			if err := r.walk(child, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// attribute is the value of an attribute by its local name, "" if there is none.
func attribute(el *etree.Element, name string) string {
	for i := range el.Attr {
		if el.Attr[i].Key == name {
			return el.Attr[i].Value
		}
	}
	return ""
}
