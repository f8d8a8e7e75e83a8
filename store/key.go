package store

import (
	"errors"
	"fmt"
	"strings"
)

// The key layout of an ordered store, the whole of it. Numbers are bytes, everything else is text.
//
//	'd' shard kind device 0 ID    a record of a device (Key); shard is Shard(device), kind a Kind
//	'f' name                      a fleet record
//	'm' name                      the store's own: "epoch"
//
// So a Key's records of one kind stand together (List), those of one kind in a shard too (All seeks 256 times), and a shard is
// one range, which is what a new owner of it reads. A device name holds no zero byte; an ID may hold any.
const (
	deviceSpace = 'd'
	fleetSpace  = 'f'
	metaSpace   = 'm'
)

// MaxKey bounds the length of device and ID together, in bytes.
const MaxKey = 4 << 10

// ErrKey is returned for a Key that no record can have: no device, a zero byte in it, or longer than MaxKey.
var ErrKey = errors.New("store: invalid key")

// Check returns an ErrKey that says what is wrong with k, nil if nothing is.
func (k Key) Check() error {
	switch {
	case k.Device == "":
		return fmt.Errorf("%w: no device", ErrKey)
	case strings.IndexByte(k.Device, 0) >= 0:
		return fmt.Errorf("%w: a zero byte in device %q", ErrKey, k.Device)
	case len(k.Device)+len(k.ID) > MaxKey:
		return fmt.Errorf("%w: device and ID have %d bytes, over %d", ErrKey, len(k.Device)+len(k.ID), MaxKey)
	}
	return nil
}

// Append appends k in the layout above. k must pass Check.
func (k Key) Append(b []byte) []byte {
	b = AppendKind(b, Shard(k.Device), k.Kind)
	b = append(b, k.Device...)
	b = append(b, 0)
	return append(b, k.ID...)
}

// AppendKind appends what all keys of a kind in a shard begin with.
func AppendKind(b []byte, shard int, kind Kind) []byte {
	return append(b, deviceSpace, byte(shard), byte(kind))
}

// ParseKey reads what Append wrote.
func ParseKey(b []byte) (Key, error) {
	const head = 3 // 'd' shard kind
	if len(b) < head || b[0] != deviceSpace {
		return Key{}, fmt.Errorf("%w: % x is not a device's", ErrKey, b)
	}
	device, id, ok := strings.Cut(string(b[head:]), "\x00")
	if !ok || device == "" || Shard(device) != int(b[1]) {
		return Key{}, fmt.Errorf("%w: % x is damaged", ErrKey, b)
	}
	return Key{Device: device, Kind: Kind(b[2]), ID: id}, nil
}

// FleetKey is the key of a fleet record.
func FleetKey(name string) []byte { return append([]byte{fleetSpace}, name...) }

// MetaKey is the key of a record of the store itself.
func MetaKey(name string) []byte { return append([]byte{metaSpace}, name...) }
