package badger

import (
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"isthmus/store"
)

// dump is a real gateway's tree, where the shared files are present.
const dump = "../../../shared/dumps/huawei-bm632w-tr098.csv"

type param struct{ name, value string }

// realTree reads the dump, or returns nil.
func realTree(b *testing.B) []param {
	b.Helper()
	f, err := os.Open(filepath.FromSlash(dump))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		b.Fatal(err)
	}
	var tree []param
	for _, row := range rows[1:] {
		if row[1] == "false" {
			tree = append(tree, param{row[0], row[3]})
		}
	}
	slices.SortFunc(tree, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return tree
}

// syntheticTree is a Device:2 tree of about 2,000 parameters.
func syntheticTree() []param {
	var tree []param
	for _, object := range []string{"IP.Interface", "Ethernet.Link", "WiFi.SSID", "Hosts.Host", "NAT.PortMapping"} {
		for i := range 25 {
			for _, leaf := range []string{"Enable", "Status", "Alias", "Name", "LastChange", "LowerLayers", "MACAddress",
				"Stats.BytesSent", "Stats.BytesReceived", "Stats.PacketsSent", "Stats.PacketsReceived", "Stats.ErrorsSent",
				"Stats.ErrorsReceived", "Stats.DiscardPacketsSent", "Stats.DiscardPacketsReceived", "Stats.UnknownProtoPacketsReceived"} {
				value := fmt.Sprint(len(tree) * 7919 % 100_003)
				switch leaf {
				case "Enable":
					value = "true"
				case "Status":
					value = "Up"
				case "LowerLayers":
					value = fmt.Sprintf("Device.%s.%d", object, i+1)
				}
				tree = append(tree, param{fmt.Sprintf("Device.%s.%d.%s", object, i+1, leaf), value})
			}
		}
	}
	slices.SortFunc(tree, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return tree
}

// ofDevice is tree as device n has it: numbers and every tenth other value are its own.
func ofDevice(tree []param, n int) []param {
	own := slices.Clone(tree)
	for i, p := range own {
		if i%10 == 0 || p.value != "" && strings.Trim(p.value, "0123456789") == "" {
			own[i].value = fmt.Sprint(p.value, (n+1)*(i+7)%9973)
		}
	}
	return own
}

// encode writes of each name only what differs from the one before it.
func encode(tree []param) []byte {
	var b []byte
	last := ""
	for _, p := range tree {
		same := 0
		for same < min(len(last), len(p.name)) && last[same] == p.name[same] {
			same++
		}
		b = binary.AppendUvarint(b, uint64(same))
		b = appendString(b, p.name[same:])
		b = appendString(b, p.value)
		last = p.name
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func decode(b []byte) []param {
	text := string(b) // one allocation: values share it
	at := 0
	number := func() int {
		n, size := binary.Uvarint(b[at:])
		at += size
		return int(n)
	}
	cut := func() string {
		n := number()
		at += n
		return text[at-n : at]
	}
	tree := make([]param, 0, len(b)/16)
	last := ""
	for at < len(b) {
		same := number()
		last = last[:same] + cut()
		tree = append(tree, param{last, cut()})
	}
	return tree
}

func plain(tree []param, names bool) []byte {
	var b []byte
	for _, p := range tree {
		if names {
			b = appendString(b, p.name)
		}
		b = appendString(b, p.value)
	}
	return b
}

func codec(b *testing.B, level zstd.EncoderLevel) (*zstd.Encoder, *zstd.Decoder) {
	b.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		b.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(dec.Close)
	return enc, dec
}

func trees(b *testing.B, f func(*testing.B, []param)) {
	b.Run("synthetic", func(b *testing.B) { f(b, syntheticTree()) })
	b.Run("real", func(b *testing.B) {
		tree := realTree(b)
		if tree == nil {
			b.Skipf("SKIPPED: %s is absent; only the synthetic tree is measured", dump)
		}
		f(b, tree)
	})
}

// BenchmarkLayoutEncoding measures the candidates for the bytes of a snapshot.
func BenchmarkLayoutEncoding(b *testing.B) {
	trees(b, func(b *testing.B, tree []param) {
		own := ofDevice(tree, 1)
		if got := decode(encode(own)); !slices.Equal(got, own) {
			b.Fatal("decode(encode(tree)) is another tree")
		}
		encodings := map[string]func([]param) []byte{
			"full":   func(t []param) []byte { return plain(t, true) },
			"prefix": encode,
			"values": func(t []param) []byte { return plain(t, false) },
		}
		for _, name := range slices.Sorted(maps.Keys(encodings)) {
			for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression} {
				b.Run(fmt.Sprintf("%s/%v/encode", name, level), func(b *testing.B) {
					enc, _ := codec(b, level)
					var raw, packed []byte
					for b.Loop() {
						raw = encodings[name](own)
						packed = enc.EncodeAll(raw, packed[:0])
					}
					b.ReportMetric(float64(len(raw)), "raw-B")
					b.ReportMetric(float64(len(packed)), "zstd-B")
				})
			}
		}
		b.Run("prefix/decode", func(b *testing.B) {
			enc, dec := codec(b, zstd.SpeedFastest)
			packed := enc.EncodeAll(encode(own), nil)
			b.ReportAllocs()
			var raw []byte
			var err error
			for b.Loop() {
				if raw, err = dec.DecodeAll(packed, raw[:0]); err != nil {
					b.Fatal(err)
				}
				if len(decode(raw)) != len(own) {
					b.Fatal("lost a parameter")
				}
			}
		})
	})
}

const (
	layoutDevices = 300
	changed       = 25
)

// layout is one way to keep a tree in the store.
type layout struct {
	load, update func(l store.Lease, device string, tree []param) error
	read         func(device string) (int, error)
}

// BenchmarkLayout compares one record per parameter, one compressed snapshot per device, and the snapshot with a small record
// of what the last Inform changed laid over it. Each loads the same devices, updates 25 parameters of one, and reads one.
func BenchmarkLayout(b *testing.B) {
	trees(b, func(b *testing.B, tree []param) {
		for _, name := range []string{"parameters", "snapshot", "overlay"} {
			b.Run(name, func(b *testing.B) { benchmarkLayout(b, name, tree) })
		}
	})
}

func benchmarkLayout(b *testing.B, name string, tree []param) {
	s := open(b, b.TempDir(), Options{})
	lay := newLayout(b, name, s)
	own := make([][]param, layoutDevices)
	for i := range own {
		own[i] = ofDevice(tree, i)
	}
	device := func(i int) string { return fmt.Sprint("os::012345-", i%layoutDevices) }
	lease := func(i int) store.Lease {
		l, err := s.Acquire(b.Context(), store.Shard(device(i)))
		if err != nil {
			b.Fatal(err)
		}
		return l
	}
	b.Run("load", func(b *testing.B) {
		i := 0
		for b.Loop() {
			if err := lay.load(lease(i), device(i), own[i%layoutDevices]); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	for i := range layoutDevices {
		if err := lay.load(lease(i), device(i), own[i%layoutDevices]); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("update", func(b *testing.B) {
		i := 0
		for b.Loop() {
			some := own[(i+1)%layoutDevices][:changed]
			if err := lay.update(lease(i), device(i), some); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if n, err := lay.read(device(i)); err != nil || n != len(tree) {
				b.Fatalf("%d parameters, %v", n, err)
			}
			i++
		}
	})
	b.Run("disk", func(b *testing.B) {
		size := sizeOf(b, name, own)
		for b.Loop() { // it is the size that is reported, not a time
		}
		b.ReportMetric(float64(size)/layoutDevices, "disk-B/device")
	})
}

func newLayout(b *testing.B, name string, s *Store) layout {
	b.Helper()
	switch name {
	case "parameters":
		return perParameter(b, s)
	case "snapshot":
		return snapshot(b, s)
	default:
		return overlay(b, s)
	}
}

// sizeOf is what the tables of a store occupy to which each device was written once.
func sizeOf(b *testing.B, name string, trees [][]param) int64 {
	b.Helper()
	dir := b.TempDir()
	s := open(b, dir, Options{})
	lay := newLayout(b, name, s)
	for i, tree := range trees {
		device := fmt.Sprint("os::012345-", i)
		l, err := s.Acquire(b.Context(), store.Shard(device))
		if err == nil {
			err = lay.load(l, device, tree)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	size, err := diskUsage(filepath.Join(dir, cacheDir))
	if err != nil {
		b.Fatal(err)
	}
	return size
}

func perParameter(b *testing.B, s *Store) layout {
	write := func(l store.Lease, device string, tree []param) error {
		ops := make([]store.Op, len(tree))
		for i, p := range tree {
			ops[i] = store.Op{Key: store.Key{Device: device, Kind: store.Snapshot, ID: p.name}, Value: []byte(p.value)}
		}
		return s.Write(b.Context(), l, ops...)
	}
	return layout{load: write, update: write, read: func(device string) (int, error) {
		var tree []param
		for item, err := range s.List(b.Context(), device, store.Snapshot) {
			if err != nil {
				return 0, err
			}
			tree = append(tree, param{item.Key.ID, string(item.Value)})
		}
		return len(tree), nil
	}}
}

func snapshot(b *testing.B, s *Store) layout {
	enc, dec := codec(b, zstd.SpeedFastest)
	load := func(l store.Lease, device string, tree []param) error {
		value := enc.EncodeAll(encode(tree), nil)
		return s.Write(b.Context(), l, store.Op{Key: store.Key{Device: device, Kind: store.Snapshot}, Value: value})
	}
	get := func(device string) ([]param, error) {
		value, err := s.Get(b.Context(), store.Key{Device: device, Kind: store.Snapshot})
		if err != nil {
			return nil, err
		}
		raw, err := dec.DecodeAll(value, nil)
		return decode(raw), err
	}
	return layout{
		load: load,
		update: func(l store.Lease, device string, some []param) error {
			tree, err := get(device)
			if err != nil {
				return err
			}
			lay(tree, some)
			return load(l, device, tree)
		},
		read: func(device string) (int, error) {
			tree, err := get(device)
			return len(tree), err
		},
	}
}

// lay lays some over tree.
func lay(tree, some []param) {
	for _, p := range some {
		at, ok := slices.BinarySearchFunc(tree, p.name, func(p param, name string) int { return strings.Compare(p.name, name) })
		if ok {
			tree[at].value = p.value
		}
	}
}

func overlay(b *testing.B, s *Store) layout {
	under := snapshot(b, s)
	return layout{
		load: under.load,
		update: func(l store.Lease, device string, some []param) error {
			return s.Write(b.Context(), l, store.Op{Key: store.Key{Device: device, Kind: store.Inform}, Value: encode(some)})
		},
		read: func(device string) (int, error) {
			value, err := s.Get(b.Context(), store.Key{Device: device, Kind: store.Inform})
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return 0, err
			}
			if len(decode(value)) > changed {
				return 0, errors.New("not what was written")
			}
			return under.read(device)
		},
	}
}
