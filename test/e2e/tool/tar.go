package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tape does what kubectl cp asks of tar: "cf - PATH" of one file, and "-xmf - -C DIRECTORY".
func tape(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: tar cf - FILE | tar -xmf - -C DIRECTORY")
	}
	if strings.Contains(args[0], "x") {
		dir := "."
		if at := slices.Index(args, "-C"); at >= 0 && at+1 < len(args) {
			dir = args[at+1]
		}
		return unpack(os.Stdin, dir)
	}
	return pack(os.Stdout, args[2])
}

func pack(out io.Writer, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	header := &tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

func unpack(in io.Reader, dir string) error {
	r := tar.NewReader(in)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, header.Name), data, 0o644); err != nil {
			return fmt.Errorf("unpacking: %w", err)
		}
	}
}
