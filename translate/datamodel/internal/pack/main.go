// Command pack compresses tables for embedding: pack FROM TO NAME... writes TO/NAME.gz for every FROM/NAME. Its output depends on
// nothing but its input.
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: pack FROM TO NAME...")
		os.Exit(2)
	}
	for _, name := range os.Args[3:] {
		if err := pack(filepath.Join(os.Args[1], name), filepath.Join(os.Args[2], name+".gz")); err != nil {
			fmt.Fprintln(os.Stderr, "pack:", err)
			os.Exit(1)
		}
	}
}

func pack(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(text); err != nil {
		return fmt.Errorf("compressing %s: %w", from, err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compressing %s: %w", from, err)
	}
	return os.WriteFile(to, b.Bytes(), 0o644)
}
