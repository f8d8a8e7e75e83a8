package datamodel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// shapeVersion is the first byte of an encoded Shape; the payload follows as a zstd frame. The payload is the number of names, then
// for each in order: the length it shares with the one before, the length of the rest, the rest, and a byte of type and flags.
const shapeVersion = 1

// ErrShape says that bytes are no encoded Shape.
var ErrShape = errors.New("datamodel: not an encoded shape")

// maxPayload is the payload of the longest names at their greatest number, nothing shared.
const maxPayload = maxNames * (maxName + 2*binary.MaxVarintLen16 + 1)

var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	const window = 1 << 17 // a few hundred names fit
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("datamodel: zstd options: " + err.Error())
	}
	return e
})

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxPayload))
	if err != nil {
		panic("datamodel: zstd options: " + err.Error())
	}
	return d
})

// Hash names the Shape by its contents: the SHA-256 of the payload in hexadecimal, the same on every machine and in every version.
func (s *Shape) Hash() string { return s.hash }

func hash(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// Encode gives the Shape as bytes for DecodeShape. Equal Shapes encode equally.
func (s *Shape) Encode() []byte {
	return zstdEncoder().EncodeAll(s.payload(), []byte{shapeVersion})
}

func (s *Shape) payload() []byte {
	b := binary.AppendUvarint(nil, uint64(len(s.names)))
	last := ""
	for i, n := range s.names {
		shared := 0
		for shared < len(n) && shared < len(last) && n[shared] == last[shared] {
			shared++
		}
		b = binary.AppendUvarint(b, uint64(shared))
		b = binary.AppendUvarint(b, uint64(len(n)-shared))
		b = append(b, n[shared:]...)
		b = append(b, s.entries[i].typ<<typShift|s.entries[i].flags)
		last = n
	}
	return b
}

// DecodeShape is the inverse of Encode. Bytes that Encode would not give are ErrShape.
func DecodeShape(b []byte) (*Shape, error) {
	if len(b) == 0 || b[0] != shapeVersion {
		return nil, fmt.Errorf("%w: unknown version", ErrShape)
	}
	payload, err := zstdDecoder().DecodeAll(b[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShape, err)
	}
	names, err := parsePayload(payload)
	if err != nil {
		return nil, err
	}
	s := names.shape()
	if !bytes.Equal(s.payload(), payload) {
		return nil, fmt.Errorf("%w: not in canonical form", ErrShape)
	}
	return s, nil
}

func parsePayload(b []byte) (builder, error) {
	count, b, err := takeUvarint(b, maxNames)
	if err != nil {
		return nil, err
	}
	names := make(builder, min(count, len(b)))
	last := ""
	for range count {
		var shared, rest int
		if shared, b, err = takeUvarint(b, len(last)); err != nil {
			return nil, err
		}
		if rest, b, err = takeUvarint(b, maxName); err != nil {
			return nil, err
		}
		if len(b) < rest+1 {
			return nil, fmt.Errorf("%w: cut short", ErrShape)
		}
		last = last[:shared] + string(b[:rest])
		e := entry{flags: b[rest] & allFlags, typ: b[rest] >> typShift}
		if int(e.typ) >= len(xsdTypes) {
			return nil, fmt.Errorf("%w: type %d", ErrShape, e.typ)
		}
		names.add(last, e)
		b = b[rest+1:]
	}
	return names, nil
}

func takeUvarint(b []byte, limit int) (int, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > uint64(limit) {
		return 0, nil, fmt.Errorf("%w: bad length", ErrShape)
	}
	return int(v), b[n:], nil
}
