package openapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	openapiv3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"

	"coracle.dev/coracle/internal/api/openapi"
)

// Source holds the documents. Safe for concurrent use.
type Source interface {
	// Paths lists the version 3 documents, such as apis/apps/v1, with a hash of each.
	Paths() map[string]string
	// V3 returns a document as JSON.
	V3(path string) ([]byte, bool)
	// V2 and V2Protobuf return the one document of version 2.
	V2() ([]byte, error)
	V2Protobuf() ([]byte, error)
}

// Builtin is the Source of the built-in API alone.
type Builtin struct{}

// Paths implements Source.
func (Builtin) Paths() map[string]string {
	out := map[string]string{}
	for _, path := range openapi.V3Paths() {
		out[path], _ = openapi.V3Hash(path)
	}
	return out
}

// V3 implements Source.
func (Builtin) V3(path string) ([]byte, bool) { return openapi.V3(path) }

// V2 implements Source.
func (Builtin) V2() ([]byte, error) { return openapi.V2() }

// V2Protobuf implements Source.
func (Builtin) V2Protobuf() ([]byte, error) { return openapi.V2Protobuf() }

// Media types of the documents.
const (
	jsonType   = "application/json"
	v3Protobuf = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
	v3OldProto = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
	v2Protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	v2OldProto = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
)

// Handler serves a Source. Documents are made on demand and not kept: they are asked for rarely, and clients keep them.
type Handler struct {
	source Source
	now    func() time.Time
}

// New makes a Handler.
func New(source Source, now func() time.Time) *Handler { return &Handler{source: source, now: now} }

// ServeHTTP implements http.Handler for everything below /openapi/.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.URL.Path, "/")
	switch {
	case path == "openapi/v2":
		h.v2(w, r)
	case path == "openapi/v3":
		h.index(w, r)
	case strings.HasPrefix(path, "openapi/v3/"):
		h.v3(w, r, strings.TrimPrefix(path, "openapi/v3/"))
	default:
		http.NotFound(w, r)
	}
}

// accepted chooses among offers the one that the client wants first, the first offer when it does not say.
func accepted(header string, offers ...string) (string, bool) {
	if header == "" {
		return offers[0], true
	}
	for part := range strings.SplitSeq(header, ",") {
		mediaType, _, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		if mediaType == "*/*" || mediaType == "application/*" {
			return offers[0], true
		}
		for _, o := range offers {
			if o == mediaType {
				return o, true
			}
		}
	}
	return "", false
}

func (h *Handler) index(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		URL string `json:"serverRelativeURL"`
	}
	paths := map[string]entry{}
	for path, hash := range h.source.Paths() {
		paths[path] = entry{URL: "/openapi/v3/" + path + "?hash=" + hash}
	}
	data, err := json.Marshal(map[string]any{"paths": paths})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, r, jsonType, data, hashOf(data))
}

func (h *Handler) v3(w http.ResponseWriter, r *http.Request, path string) {
	hash, ok := h.source.Paths()[path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	mediaType, ok := accepted(r.Header.Get("Accept"), jsonType, v3Protobuf, v3OldProto)
	if !ok {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	if asked := r.URL.Query().Get("hash"); asked != "" {
		if asked != hash {
			http.Redirect(w, r, "/openapi/v3/"+path+"?hash="+hash, http.StatusMovedPermanently)
			return
		}
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", h.now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
	}
	etag := hash
	if mediaType != jsonType {
		etag += "-protobuf"
	}
	if unchanged(w, r, etag) {
		return
	}
	data, ok := h.source.V3(path)
	if ok && mediaType != jsonType {
		var err error
		if data, err = protobufV3(data); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	send(w, r, mediaType, data, etag)
}

func protobufV3(data []byte) ([]byte, error) {
	doc, err := openapiv3.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("parsing the OpenAPI document: %w", err)
	}
	return proto.Marshal(doc)
}

func (h *Handler) v2(w http.ResponseWriter, r *http.Request) {
	mediaType, ok := accepted(r.Header.Get("Accept"), jsonType, v2Protobuf, v2OldProto)
	if !ok {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	get := h.source.V2
	if mediaType != jsonType {
		get = h.source.V2Protobuf
	}
	data, err := get()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, r, mediaType, data, hashOf(data))
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// unchanged answers a client that has the document already.
func unchanged(w http.ResponseWriter, r *http.Request, etag string) bool {
	w.Header().Set("Vary", "Accept")
	w.Header().Set("ETag", `"`+etag+`"`)
	if r.Header.Get("If-None-Match") != `"`+etag+`"` {
		return false
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

func send(w http.ResponseWriter, r *http.Request, mediaType string, data []byte, etag string) {
	if unchanged(w, r, etag) {
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the client may be gone
}
