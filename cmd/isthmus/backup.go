package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"isthmus/cmd/isthmus/config"
	"isthmus/store/badger"
)

type backupCmd struct {
	adminFlags `embed:""`
	File       string `arg:"" help:"File to write, for its owner alone; - for standard output. It holds the passwords of CPE that the store holds."`
}

func (c *backupCmd) Run(a *app) error {
	ctx, stop := signal.NotifyContext(a.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if c.File == "-" {
		_, err := c.fetch(ctx, a.stdout)
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.File), "."+filepath.Base(c.File)+"-*") // 0600
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	b, err := c.fetch(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.File)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %d devices, %d records, %d bytes\n", c.File, b.Devices, b.Records, b.Bytes)
	return err
}

// fetch writes a backup to w and has read it to its end, so that it is known to be whole.
func (c *backupCmd) fetch(ctx context.Context, w io.Writer) (b badger.Backup, err error) {
	err = c.stream(ctx, http.MethodPost, "backup", nil, func(r io.Reader) (err error) {
		if b, err = badger.CheckBackup(io.TeeReader(r, w)); err != nil {
			return fmt.Errorf("the backup that %s sent is not whole, nothing is kept of it: %w", c.Admin, err)
		}
		return nil
	})
	return b, err
}

type restoreCmd struct {
	File    string `arg:"" help:"Backup to read; - for standard input."`
	Config  string `placeholder:"FILE" help:"Configuration file of the proxy; its data_dir is restored. Without one the defaults hold."`
	Replace bool   `help:"Take the place of a store that is there; it is kept beside the new one, under replaced-<time>."`
}

func (c *restoreCmd) Run(a *app) error {
	ctx, stop := signal.NotifyContext(a.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	conf, _, err := config.Load(c.Config, a.environ)
	if err != nil {
		return err
	}
	in := os.Stdin
	if c.File != "-" {
		if in, err = os.Open(c.File); err != nil {
			return fmt.Errorf("reading the backup: %w", err)
		}
		defer in.Close()
	}
	warnings := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := badger.Restore(ctx, conf.DataDir, in, c.Replace, &badger.Options{Logger: warnings})
	switch {
	case errors.Is(err, badger.ErrNotEmpty):
		return fmt.Errorf("data_dir: %w: --replace takes its place and keeps it beside the new one", err)
	case err != nil:
		return fmt.Errorf("%s: %w", c.File, err)
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %d devices, %d records, as of %s\n", conf.DataDir, b.Devices, b.Records, clock(b.Time))
	return err
}

// backup writes the store for the admin address.
func (i *instance) backup(ctx context.Context, w io.Writer) (int, error) {
	b, err := i.store.Backup(ctx, w, version)
	return b.Devices, err
}
