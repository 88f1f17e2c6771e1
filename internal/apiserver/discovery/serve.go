package discovery

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
)

// Documents holds the discovery documents of the newest catalogue. Safe for concurrent use.
type Documents struct {
	catalogue func() *api.Catalogue
	// Addresses of the server, for /api.
	addresses []metav1.ServerAddressByClientCIDR

	mu   sync.Mutex
	of   *api.Catalogue
	made map[string]document
}

type document struct {
	data        []byte
	etag        string
	contentType string
}

// New makes the documents of whatever catalogue returns when they are asked for. Address is the server's, host and port.
func New(catalogue func() *api.Catalogue, address string) *Documents {
	return &Documents{
		catalogue: catalogue,
		addresses: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: address}},
	}
}

// Is tells whether a path names a discovery document.
func Is(path string) bool {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch parts[0] {
	case "api":
		return len(parts) <= 2
	case "apis":
		return len(parts) <= 3
	default:
		return false
	}
}

// Groups returns the paths of all groups and versions, for the index at /.
func (d *Documents) Groups() []string {
	c := d.catalogue()
	paths := []string{"/api"}
	for _, v := range groupVersions(c, "") {
		paths = append(paths, "/api/"+v)
	}
	paths = append(paths, "/apis")
	for _, g := range c.Groups() {
		if g == "" {
			continue
		}
		paths = append(paths, "/apis/"+g)
		for _, v := range groupVersions(c, g) {
			paths = append(paths, "/apis/"+g+"/"+v)
		}
	}
	return paths
}

// ServeHTTP serves the documents; unknown ones are 404.
func (d *Documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	asOne := (path == "/api" || path == "/apis") && wantsAggregated(r.Header.Get("Accept"))
	doc, ok := d.document(path, asOne)
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Vary", "Accept")
	h.Set("Cache-Control", "public")
	h.Set("ETag", doc.etag)
	h.Set("Content-Type", doc.contentType)
	if match := r.Header.Get("If-None-Match"); match == doc.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(doc.data)))
	_, _ = w.Write(doc.data) // the client may be gone
}

// wantsAggregated tells whether the first form the client accepts that we have is the aggregated one.
func wantsAggregated(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil || (mediaType != runtime.ContentTypeJSON && mediaType != "*/*") {
			continue
		}
		if params["as"] == "" {
			return false
		}
		if params["as"] == "APIGroupDiscoveryList" && params["g"] == "apidiscovery.k8s.io" && params["v"] == "v2" {
			return true
		}
	}
	return false
}

func (d *Documents) document(path string, asOne bool) (document, bool) {
	c := d.catalogue()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of != c {
		d.of, d.made = c, map[string]document{}
	}
	key := path
	contentType := runtime.ContentTypeJSON
	if asOne {
		key += ";aggregated"
		contentType += ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	}
	if doc, ok := d.made[key]; ok {
		return doc, true
	}
	obj := d.build(c, path, asOne)
	if obj == nil {
		return document{}, false
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return document{}, false
	}
	sum := sha512.Sum512(data)
	doc := document{data: append(data, '\n'), etag: fmt.Sprintf(`"%X"`, sum[:]), contentType: contentType}
	d.made[key] = doc
	return doc, true
}

// build makes the object of a path, nil when there is none.
func (d *Documents) build(c *api.Catalogue, path string, asOne bool) any {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case asOne:
		return aggregated(c, path == "/api")
	case path == "/api":
		return &metav1.APIVersions{
			TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: groupVersions(c, ""),
			ServerAddressByClientCIDRs: d.addresses,
		}
	case path == "/apis":
		return groups(c)
	case parts[0] == "api" && len(parts) == 2:
		return orNil(resources(c, schema.GroupVersion{Version: parts[1]}))
	case parts[0] == "apis" && len(parts) == 2:
		return orNil(group(c, parts[1]))
	case parts[0] == "apis" && len(parts) == 3:
		return orNil(resources(c, schema.GroupVersion{Group: parts[1], Version: parts[2]}))
	default:
		return nil
	}
}

// orNil turns a nil pointer into a nil interface.
func orNil[T any](p *T) any {
	if p == nil {
		return nil
	}
	return p
}
