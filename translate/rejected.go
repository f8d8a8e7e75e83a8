package translate

import (
	"context"
	"strings"

	"isthmus/usp/agent"
)

// rejected is the view of a CPE for whose firmware image a file was meant that is not what its CheckSum says: the Status of the image tells that, though the
// CPE knows nothing of it. The rest is another view's.
type rejected struct {
	View
	image string // with the final dot
}

const validationFailed = "ValidationFailed"

func (v rejected) Render(t *tree, q agent.Query) []agent.Object {
	out := v.View.Render(t, q)
	for _, o := range out {
		if o.Path != v.image {
			continue
		}
		for i := range o.Params {
			if o.Params[i].Name == "Status" {
				o.Params[i].Value = validationFailed
			}
		}
	}
	return out
}

// reject notes that the file for a firmware image is not what was meant, and gives what is to be told of that. The image that runs is what it was.
func (d *Device) reject(op *operation) []agent.Happening {
	image := objectOf(op.Command)
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.Memo[memoType] == configDownload || d.head.OneImage || d.tree == nil {
		return nil
	}
	found := d.view().Render(d.tree, agent.Query{Path: image + "Status"})
	if len(found) != 1 || len(found[0].Params) != 1 || found[0].Params[0].Value == imageStatus {
		return nil
	}
	d.head.Rejected = image
	return []agent.Happening{&agent.ValueChange{Path: image + "Status", Value: validationFailed, Old: found[0].Params[0].Value}}
}

// accept forgets that the file for an image was rejected, since another is on its way.
func (d *Device) accept(ctx context.Context, op *operation) error {
	d.mu.Lock()
	had := d.head.Rejected != "" && strings.HasPrefix(op.Command, d.head.Rejected)
	if had {
		d.head.Rejected = ""
	}
	d.mu.Unlock()
	if !had {
		return nil
	}
	return d.putHead(ctx)
}
