// Command pack compresses the tables for embedding: pack FROM TO writes TO/name.tsv.gz for every FROM/name.tsv. Its output
// depends on nothing but its input.
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
)

// embedded are the tables that the program reads; the others serve tests and readers.
var embedded = []string{"commands-to-cwmp.tsv", "device2-cwmp-only.tsv", "device2-usp.tsv", "events-to-cwmp.tsv"}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pack FROM TO")
		os.Exit(2)
	}
	for _, name := range embedded {
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
