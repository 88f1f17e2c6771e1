// Command build joins generated definitions with the catalogue's paths and writes the compressed documents.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/openapi/document"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: build OUTPUT-FOLDER")
	}
	if err := build(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func build(folder string) error {
	catalogue, err := builtin.New()
	if err != nil {
		return err
	}
	m, err := newModels(catalogue.Scheme())
	if err != nil {
		return err
	}
	out := writer{folder: folder, index: map[string]string{}}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	whole := swagger()
	whole.Definitions = m.v2
	for _, gv := range groupVersions(catalogue) {
		paths := document.Paths(gv, catalogue.Resources(), document.Models{Of: m.of})
		for path, item := range paths {
			whole.Paths.Paths[path] = item
		}
		if err := out.v3(document.Root(gv), m.v3(paths), paths); err != nil {
			return fmt.Errorf("document of %s: %w", gv, err)
		}
	}
	m.keepUsed(whole)
	if err := out.v2(whole); err != nil {
		return fmt.Errorf("document of version 2: %w", err)
	}
	return out.finish()
}

func swagger() *spec.Swagger {
	return &spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger: "2.0",
		Info:    info(),
		Paths:   &spec.Paths{Paths: map[string]spec.PathItem{}},
		SecurityDefinitions: spec.SecurityDefinitions{"BearerToken": &spec.SecurityScheme{SecuritySchemeProps: spec.SecuritySchemeProps{
			Type: "apiKey", Name: "authorization", In: "header", Description: "Bearer Token authentication",
		}}},
		Security: []map[string][]string{{"BearerToken": {}}},
	}}
}

func info() *spec.Info {
	return &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: "v1.37"}}
}

// groupVersions lists what is served, in the catalogue's order.
func groupVersions(c *api.Catalogue) []schema.GroupVersion {
	var out []schema.GroupVersion
	seen := map[schema.GroupVersion]bool{}
	for _, r := range c.Resources() {
		for _, v := range r.Versions {
			if gv := (schema.GroupVersion{Group: r.Group, Version: v.Name}); !seen[gv] {
				seen[gv] = true
				out = append(out, gv)
			}
		}
	}
	return out
}

// writer writes compressed files and the index of their contents.
type writer struct {
	folder string
	// index maps a document's path to the hash of its JSON.
	index map[string]string
}

func (w *writer) v3(path string, schemas map[string]*spec.Schema, paths map[string]spec.PathItem) error {
	doc := swagger()
	doc.Paths.Paths = paths
	data, err := json.Marshal(document.V3(doc, schemas))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	w.index[path] = hex.EncodeToString(sum[:])
	return w.file(strings.ReplaceAll(path, "/", "__")+".json", data)
}

func (w *writer) v2(doc *spec.Swagger) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if err := w.file("v2.json", data); err != nil {
		return err
	}
	parsed, err := openapi_v2.ParseDocument(data)
	if err != nil {
		return fmt.Errorf("parsing for protobuf: %w", err)
	}
	message, err := proto.MarshalOptions{Deterministic: true}.Marshal(parsed)
	if err != nil {
		return err
	}
	return w.file("v2.pb", message)
}

func (w *writer) file(name string, data []byte) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.folder, name+".zst"), enc.EncodeAll(data, nil), 0o644)
}

// finish writes the index: a line for each document with its path and hash.
func (w *writer) finish() error {
	var lines []string
	for path, hash := range w.index {
		lines = append(lines, path+" "+hash+"\n")
	}
	sort.Strings(lines)
	return os.WriteFile(filepath.Join(w.folder, "index.txt"), []byte(strings.Join(lines, "")), 0o644)
}
