package translate

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// A snapshot is a tree in one record: a version byte, then zstd over the nodes in tree order. A node is its depth, its name,
// flags, and for a parameter type, time and value, for an object the time of its listing.
const snapshotVersion = 1

const (
	flagParam = 1 << iota
	flagWritable
)

// maxSnapshot bounds what a snapshot may inflate to: 32 MiB of one SOAP message is the most a CPE can make us keep.
const maxSnapshot = 64 << 20

var (
	snapshotEncoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(128<<10))
	snapshotDecoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSnapshot))
)

var errSnapshot = errors.New("snapshot is damaged")

func encodeTree(t *tree) []byte {
	b := make([]byte, 0, t.root.encoded())
	for _, k := range t.root.kids {
		b = appendNode(b, k, 0)
	}
	return snapshotEncoder.EncodeAll(b, []byte{snapshotVersion})
}

// encoded is at least as many bytes as a node and all below it take in a snapshot: large values are not to be copied as it grows.
func (n *node) encoded() int {
	const numbers = 1 + 4*binary.MaxVarintLen32 + binary.MaxVarintLen64 // flags, depth and lengths, time
	size := numbers + len(n.name) + len(n.typ) + len(n.value)
	for _, k := range n.kids {
		size += k.encoded()
	}
	return size
}

func appendNode(b []byte, n *node, depth int) []byte {
	b = binary.AppendUvarint(b, uint64(depth))
	b = appendString(b, n.name)
	var flags byte
	if n.param {
		flags |= flagParam
	}
	if n.writable {
		flags |= flagWritable
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, n.at)
	if n.param {
		b = appendString(b, n.typ)
		b = appendString(b, n.value)
	}
	for _, k := range n.kids {
		b = appendNode(b, k, depth+1)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func decodeTree(data []byte) (*tree, error) {
	if len(data) == 0 || data[0] != snapshotVersion {
		return nil, fmt.Errorf("%w: unknown version", errSnapshot)
	}
	raw, err := snapshotDecoder.DecodeAll(data[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	r := reader{b: string(raw)} // one allocation, which all strings share
	t := newTree()
	stack := []*node{t.root}
	types := map[string]string{}
	for len(r.b) > 0 && !r.bad {
		depth := int(r.uvarint())
		n := &node{}
		n.name, n.num = segment(r.string())
		flags := r.byte()
		n.param, n.writable = flags&flagParam != 0, flags&flagWritable != 0
		n.at = r.varint()
		if n.param {
			typ := r.string()
			if s, ok := types[typ]; ok {
				typ = s
			} else {
				types[typ] = typ
			}
			n.typ, n.value = typ, r.string()
		}
		if r.bad || depth >= len(stack) {
			return nil, errSnapshot
		}
		stack = append(stack[:depth+1], n)
		stack[depth].kids = append(stack[depth].kids, n)
	}
	if r.bad {
		return nil, errSnapshot
	}
	return t, nil
}

// reader takes a snapshot apart; bad is set by the first thing that is not there.
type reader struct {
	b   string
	bad bool
}

func (r *reader) uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		c := r.byte()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	r.bad = true
	return 0
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}
