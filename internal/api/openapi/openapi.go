package openapi

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

//go:embed documents
var documents embed.FS

// V3 returns the JSON of the version 3 document under a path such as "api/v1" or "apis/apps/v1".
func V3(path string) ([]byte, bool) {
	if _, ok := V3Hash(path); !ok {
		return nil, false
	}
	data, err := unpack(strings.ReplaceAll(path, "/", "__") + ".json")
	return data, err == nil
}

// V3Paths returns the paths of all version 3 documents, sorted.
func V3Paths() []string {
	var out []string
	for path := range index() {
		out = append(out, path)
	}
	slices.Sort(out)
	return out
}

// V3Hash returns the SHA-256 of the document's JSON in hex. It is cheap, and changes exactly when the document does.
func V3Hash(path string) (string, bool) {
	hash, ok := index()[path]
	return hash, ok
}

// V2 returns the JSON of the version 2 document.
func V2() ([]byte, error) { return unpack("v2.json") }

// V2Protobuf returns the version 2 document as a gnostic message (application/com.github.proto-openapi.spec.v2@v1.0+protobuf).
func V2Protobuf() ([]byte, error) { return unpack("v2.pb") }

// index reads the list of version 3 documents with their hashes.
func index() map[string]string {
	data, err := documents.ReadFile("documents/index.txt")
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if path, hash, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			out[path] = hash
		}
	}
	return out
}

func unpack(name string) ([]byte, error) {
	packed, err := documents.ReadFile("documents/" + name + ".zst")
	if err != nil {
		return nil, fmt.Errorf("reading document %s: %w", name, err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("unpacking document %s: %w", name, err)
	}
	defer decoder.Close()
	data, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("unpacking document %s: %w", name, err)
	}
	return data, nil
}
