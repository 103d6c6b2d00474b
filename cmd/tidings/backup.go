package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"tidings/store"
	"tidings/store/bolt"
)

type backupCmd struct {
	File    string   `arg:"" type:"path" help:"File to write; must not exist. A manifest is written beside it as FILE.json."`
	DataDir string   `xor:"from" help:"Data directory; the server must be stopped." type:"path" placeholder:"DIR"`
	URL     *baseURL `name:"url" xor:"from" help:"URL of a running server; needs a token with admin rights."`
	Token   bearer   `help:"Bearer token; empty sends none." placeholder:"JWT"`
}

// Validate is called by kong after parsing.
func (c *backupCmd) Validate() error {
	if c.File == "-" {
		return errors.New("FILE: a backup is a file with a manifest beside it and cannot go to " +
			"standard output; for a file of that name, use ./-")
	}
	if c.DataDir == "" && c.URL == nil {
		return errors.New("expected either --data-dir or --url, by flag or variable")
	}
	return nil
}

// Run writes the file under another name, renames it, then writes the manifest: a backup without one is not
// finished. A file that a killed run left is replaced; nothing else is ever overwritten.
func (c *backupCmd) Run(ctx context.Context, app *app) error {
	for _, path := range []string{c.File, manifestOf(c.File)} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return usageError{fmt.Errorf("FILE: %s: %w; give another name, or move it away", path,
				cmp.Or(err, fs.ErrExist))}
		}
	}
	partial, err := createAnew(c.File + ".partial")
	if err != nil {
		return usageError{fmt.Errorf("FILE: %w", err)}
	}
	var m store.Manifest
	if c.URL != nil {
		m, err = c.fetch(ctx, app, partial)
	} else {
		m, err = c.copy(ctx, app, partial)
	}
	if err = errors.Join(err, partial.Sync(), partial.Close()); err == nil {
		err = os.Rename(partial.Name(), c.File)
	}
	if err != nil {
		return errors.Join(err, os.Remove(partial.Name()))
	}
	if err := writeManifest(c.File, m); err != nil {
		return errors.Join(err, os.Remove(c.File))
	}
	return app.print("%s: %d events up to %s, %d bytes", c.File, m.Events, m.Head, m.Size)
}

// createAnew creates a file in place of anything with its name; a link itself is replaced, too.
func createAnew(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

func (c *backupCmd) copy(ctx context.Context, app *app,
	file *os.File) (m store.Manifest, err error) {
	log, err := openLog(c.DataDir, app)
	if err != nil {
		return store.Manifest{}, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	m, err = log.Backup(ctx, file)
	if errors.Is(err, syscall.ENOSPC) { // the backup's disk is full
		err = fmt.Errorf("no space left for the backup: %w", &fs.PathError{Op: "write",
			Path: file.Name(), Err: syscall.ENOSPC})
	}
	return m, err
}

// openLog opens an existing log for reading.
func openLog(dir string, app *app) (*bolt.Log, error) {
	return bolt.Open(dir, bolt.Options{MustExist: true, CheckAll: true, Alone: true, Logger: app.logger})
}

// fetch downloads the backup and checks it against its manifest.
func (c *backupCmd) fetch(ctx context.Context, app *app,
	file *os.File) (m store.Manifest, err error) {
	from := client{URL: *c.URL, Token: c.Token}
	req, err := from.request(ctx, http.MethodGet, nil, "v1", "backup")
	if err != nil {
		return m, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := app.httpClient().Do(req)
	if err != nil {
		return m, shorten(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return m, readProblem(resp)
	}
	if err := json.Unmarshal([]byte(resp.Header.Get("Tidings-Manifest")), &m); err != nil {
		return m, fmt.Errorf("%s sent no manifest: is it a Tidings server? %w", c.URL, err)
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(file, sum), resp.Body)
	switch {
	case err != nil:
		return m, fmt.Errorf("after %d of %d bytes: %w", size, m.Size, err)
	case size != m.Size || hex.EncodeToString(sum.Sum(nil)) != m.SHA256:
		return m, fmt.Errorf("download does not match its manifest (%d of %d bytes)", size, m.Size)
	}
	return m, nil
}

func manifestOf(file string) string { return file + ".json" }

// writeManifest writes the manifest of a backup that is on disk, and syncs both names to disk.
func writeManifest(file string, m store.Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	out, err := createAnew(manifestOf(file) + ".partial")
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	_, err = out.Write(append(text, '\n'))
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = os.Rename(out.Name(), manifestOf(file))
	}
	if err != nil {
		return fmt.Errorf("write the manifest: %w", errors.Join(err, os.Remove(out.Name())))
	}
	dir, err := os.Open(filepath.Dir(file))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}
