package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
)

// maxErrorBody bounds how much of an error answer is read, in bytes.
const maxErrorBody = 1 << 20

// kind is how a resource is spoken of to the server.
type kind struct {
	gr      schema.GroupResource
	version string
	// res and ver are nil for a kind that the catalogue does not know.
	res        *api.Resource
	ver        *api.Version
	namespaced bool
}

// kinds remembers what discovery said of kinds outside the catalogue.
type kinds struct {
	mu    sync.Mutex
	known map[schema.GroupResource]kind
}

// kind finds the served version to speak: the stored type's own where it is served, else the preferred one.
func (c *Client) kind(ctx context.Context, gr schema.GroupResource) (kind, error) {
	res, ok := c.cfg.Catalogue.Resource(gr)
	if !ok {
		return c.discover(ctx, gr)
	}
	k := kind{gr: gr, res: res, namespaced: res.Namespaced}
	if k.ver, ok = res.Version(res.StoredVersion); !ok || k.ver.ToStored != nil {
		if len(res.Versions) == 0 {
			return k, apierrors.NewNotFound(gr, "")
		}
		k.ver = &res.Versions[0]
	}
	k.version = k.ver.Name
	return k, nil
}

// discover asks the server for a kind that the catalogue does not know.
func (c *Client) discover(ctx context.Context, gr schema.GroupResource) (kind, error) {
	c.kinds.mu.Lock()
	k, ok := c.kinds.known[gr]
	c.kinds.mu.Unlock()
	if ok {
		return k, nil
	}
	var group metav1.APIGroup
	if err := c.getJSON(ctx, "/apis/"+gr.Group, &group); err != nil {
		return kind{}, fmt.Errorf("discovering %s: %w", gr, err)
	}
	for _, v := range group.Versions {
		var list metav1.APIResourceList
		if err := c.getJSON(ctx, "/apis/"+v.GroupVersion, &list); err != nil {
			return kind{}, fmt.Errorf("discovering %s: %w", gr, err)
		}
		for _, r := range list.APIResources {
			if r.Name != gr.Resource {
				continue
			}
			k = kind{gr: gr, version: v.Version, namespaced: r.Namespaced}
			c.kinds.mu.Lock()
			if c.kinds.known == nil {
				c.kinds.known = map[schema.GroupResource]kind{}
			}
			c.kinds.known[gr] = k
			c.kinds.mu.Unlock()
			return k, nil
		}
	}
	return kind{}, apierrors.NewNotFound(gr, "")
}

func (c *Client) getJSON(ctx context.Context, path string, into any) error {
	resp, err := c.do(ctx, http.MethodGet, path, nil, http.Header{"Accept": {runtime.ContentTypeJSON}}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// path is where the kind, one object of it, or a subresource lies.
func (k kind) path(namespace, name, sub string) string {
	var b strings.Builder
	if k.gr.Group == "" {
		b.WriteString("/api/" + k.version)
	} else {
		b.WriteString("/apis/" + k.gr.Group + "/" + k.version)
	}
	if k.namespaced && namespace != "" {
		b.WriteString("/namespaces/" + url.PathEscape(namespace))
	}
	b.WriteString("/" + k.gr.Resource)
	if name != "" {
		b.WriteString("/" + url.PathEscape(name))
	}
	if sub != "" {
		b.WriteString("/" + sub)
	}
	return b.String()
}

// gvk is the kind at the spoken version.
func (k kind) gvk() schema.GroupVersionKind { return k.res.GVK(k.version) }

// protobuf tells whether the kind has a protobuf form.
func (k kind) protobuf() bool {
	if k.ver == nil {
		return true // metadata alone always has one
	}
	_, ok := k.ver.New().(interface{ Marshal() ([]byte, error) })
	return ok
}

// accept is the Accept header for the kind.
func (k kind) accept() string {
	if k.protobuf() {
		return runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	}
	return runtime.ContentTypeJSON
}

// Raw implements client.Interface.
func (c *Client) Raw(
	ctx context.Context, method, path string, header http.Header, body io.Reader,
) (*http.Response, error) {
	return c.send(ctx, method, path, header, body)
}

// send performs a request, whatever the answer is.
func (c *Client) send(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for name, values := range header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if c.cfg.UserAgent != "" && r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", c.cfg.UserAgent)
	}
	if token := c.auth.get(); token != "" && r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		var uerr *url.Error
		if errors.As(err, &uerr) {
			err = uerr.Err
		}
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return resp, nil
}

// do performs an API call; an answer that is no success becomes the error it stands for.
func (c *Client) do(
	ctx context.Context, method, path string, query url.Values, header http.Header, body []byte,
) (*http.Response, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	resp, err := c.send(ctx, method, path, header, reader)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		return nil, c.refused(resp, method)
	}
	return resp, nil
}

// refused makes the error that an answer stands for.
func (c *Client) refused(resp *http.Response, method string) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err == nil {
		if status, ok := c.asStatus(data, resp.Header.Get("Content-Type")); ok {
			return &apierrors.StatusError{ErrStatus: *status}
		}
	}
	return apierrors.NewGenericServerResponse(
		resp.StatusCode, method, schema.GroupResource{}, "", strings.TrimSpace(string(data)), 0, true)
}

func (c *Client) asStatus(data []byte, contentType string) (*metav1.Status, bool) {
	obj, err := c.decode(data, contentType, nil)
	if err != nil {
		return nil, false
	}
	status, ok := obj.(*metav1.Status)
	return status, ok
}
