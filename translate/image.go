package translate

import (
	"slices"
	"strconv"
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// oneImage is the view of a CPE that takes firmware (Download) and has no table of it: Device.DeviceInfo.FirmwareImage. has one row, the firmware that
// runs. The rest is another view's.
type oneImage struct {
	View
	version string // the CPE's own name of SoftwareVersion
}

const (
	imageTable  = deviceInfo + "FirmwareImage."
	imageRow    = imageTable + "1."
	imageStatus = "Active"
)

// imageNames are what the row brings, with its value; "" stands for SoftwareVersion.
var imageNames = []struct{ path, typ, value string }{
	{deviceInfo + activeImage[len("DeviceInfo."):], "string", strings.TrimSuffix(imageRow, ".")},
	{deviceInfo + "FirmwareImageNumberOfEntries", "unsignedInt", strconv.Itoa(1)},
	{imageRow + "Available", "boolean", "true"},
	{imageRow + "Name", "string", ""},
	{imageRow + "Status", "string", imageStatus},
	{imageRow + "Version", "string", ""},
}

func isImageName(path string) bool {
	for i := range imageNames {
		if imageNames[i].path == path {
			return true
		}
	}
	return false
}

// setImage picks the view by the head. d.mu is held.
func (d *Device) setImage() {
	if d.image = nil; d.head.OneImage {
		d.image = oneImage{d.plainView(), d.head.Root + "DeviceInfo.SoftwareVersion"}
	}
}

func (v oneImage) Needs(q agent.Query) []need {
	version := v.View.Needs(agent.Query{Path: deviceInfo + "SoftwareVersion"})
	switch {
	case strings.HasPrefix(q.Path, imageTable):
		if q.RowsOnly {
			return nil
		}
		return version
	case isImageName(q.Path):
		return nil
	case strings.HasPrefix(imageTable, q.Path) && !q.RowsOnly:
		return append(v.View.Needs(q), version...)
	}
	return v.View.Needs(q)
}

func (v oneImage) Render(t *tree, q agent.Query) []agent.Object {
	var out []agent.Object
	if !strings.HasPrefix(q.Path, imageTable) {
		out = v.View.Render(t, q)
	}
	within := strings.HasPrefix(q.Path, imageTable) || isImageName(q.Path)
	if !within && !strings.HasPrefix(imageTable, q.Path) {
		return out
	}
	version := t.get(v.version)
	image := newTree()
	for _, n := range imageNames {
		value := n.value
		if value == "" && version != nil {
			value = version.value
		}
		image.put(n.path).value = value
	}
	for _, o := range render(image, q, func(path string) (string, bool) { return path, true }) {
		if i := slices.IndexFunc(out, func(have agent.Object) bool { return have.Path == o.Path }); i >= 0 {
			out[i].Params = append(out[i].Params, o.Params...)
			continue
		}
		out = append(out, o)
	}
	return out
}

func (v oneImage) Params(own string) []string {
	params := v.View.Params(own)
	if own == v.version {
		params = append(params, imageRow+"Name", imageRow+"Version")
	}
	return params
}

func (v oneImage) Changes(t *tree, changes []change) []*agent.ValueChange {
	out := v.View.Changes(t, changes)
	for _, c := range changes {
		if c.path == v.version {
			for _, path := range v.Params(c.path)[len(v.View.Params(c.path)):] {
				out = append(out, changed(v, t, path, c))
			}
		}
	}
	return out
}

func (v oneImage) Names(t *tree) []datamodel.Name {
	names := append(slices.Clip(v.View.Names(t)), datamodel.Name{Path: imageTable}, datamodel.Name{Path: imageRow})
	for _, n := range imageNames {
		names = append(names, datamodel.Name{Path: n.path, Type: n.typ})
	}
	return names
}
