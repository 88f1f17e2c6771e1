package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// Get implements client.Interface.
func (c *Client) Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (api.Object, error) {
	k, err := c.known(ctx, gr)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, http.MethodGet, k.path(namespace, name, ""), nil, http.Header{"Accept": {k.accept()}}, nil)
	if err != nil {
		return nil, err
	}
	obj, err := c.answer(resp, k.ver.New())
	if err != nil {
		return nil, fmt.Errorf("reading %s %s/%s: %w", gr, namespace, name, err)
	}
	return k.stored(obj)
}

// known is kind for calls that need the catalogue's types.
func (c *Client) known(ctx context.Context, gr schema.GroupResource) (kind, error) {
	k, err := c.kind(ctx, gr)
	if err == nil && k.ver == nil {
		err = fmt.Errorf("%s: no such resource in the catalogue", gr)
	}
	return k, err
}

// answer decodes the body of a successful answer.
func (c *Client) answer(resp *http.Response, into runtime.Object) (runtime.Object, error) {
	data, err := body(resp)
	if err != nil {
		return nil, err
	}
	return c.decode(data, resp.Header.Get("Content-Type"), into)
}

// List implements client.Interface.
func (c *Client) List(ctx context.Context, gr schema.GroupResource, opts client.ListOptions) (*client.List, error) {
	k, err := c.known(ctx, gr)
	if err != nil {
		return nil, err
	}
	query := selectors(opts.LabelSelector, opts.FieldSelector)
	if opts.Limit > 0 {
		query.Set("limit", strconv.FormatInt(opts.Limit, 10))
	}
	if opts.Continue != "" {
		query.Set("continue", opts.Continue)
	}
	resp, err := c.do(ctx, http.MethodGet, k.path(opts.Namespace, "", ""), query, http.Header{"Accept": {k.accept()}}, nil)
	if err != nil {
		return nil, err
	}
	obj, err := c.answer(resp, k.ver.NewList())
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", gr, err)
	}
	items, listMeta, err := k.items(obj)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", gr, err)
	}
	revision, err := strconv.ParseInt(listMeta.GetResourceVersion(), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("listing %s: resource version: %w", gr, err)
	}
	return &client.List{Revision: revision, Continue: listMeta.GetContinue(), Items: items}, nil
}

func selectors(labels, fields string) url.Values {
	query := url.Values{}
	if labels != "" {
		query.Set("labelSelector", labels)
	}
	if fields != "" {
		query.Set("fieldSelector", fields)
	}
	return query
}

// Write implements client.Interface.
func (c *Client) Write(ctx context.Context, w client.Write) (runtime.Object, error) {
	k, err := c.known(ctx, w.Resource)
	if err != nil {
		return nil, err
	}
	namespace, name := w.Namespace, w.Name
	if o, ok := w.Object.(metav1.Object); ok {
		if namespace == "" {
			namespace = o.GetNamespace()
		}
		if name == "" && (w.Verb != client.Create || w.Subresource != "") {
			name = o.GetName()
		}
	}
	call := writeCall{
		path: k.path(namespace, name, w.Subresource), query: url.Values{}, header: http.Header{"Accept": {k.accept()}},
	}
	if w.DryRun {
		call.query.Set("dryRun", metav1.DryRunAll)
	}
	if w.FieldManager != "" {
		call.query.Set("fieldManager", w.FieldManager)
	}
	if err := c.fillCall(&call, k, w, namespace); err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, call.method, call.path, call.query, call.header, call.body)
	if err != nil {
		return nil, err
	}
	return c.written(resp, k, w)
}

// writeCall is a write as a request.
type writeCall struct {
	method, path string
	query        url.Values
	header       http.Header
	body         []byte
}

func (c *Client) fillCall(call *writeCall, k kind, w client.Write, namespace string) error {
	switch w.Verb {
	case client.Create:
		call.method = http.MethodPost
		if w.Subresource == "" {
			call.path = k.path(namespace, "", "")
		}
		return c.fillObject(call, k, w)
	case client.Update:
		call.method = http.MethodPut
		return c.fillObject(call, k, w)
	case client.Patch:
		call.method, call.body = http.MethodPatch, w.PatchData
		call.header.Set("Content-Type", string(w.PatchType))
		if w.Force {
			call.query.Set("force", "true")
		}
		return nil
	case client.Delete, client.DeleteCollection:
		call.method = http.MethodDelete
		if w.Verb == client.DeleteCollection {
			call.path = k.path(w.Namespace, "", "")
			for name, values := range selectors(w.Selector.LabelSelector, w.Selector.FieldSelector) {
				call.query[name] = values
			}
		}
		opts := w.Delete.DeepCopy()
		opts.TypeMeta = metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}
		if w.DryRun {
			opts.DryRun = []string{metav1.DryRunAll}
		}
		call.header.Set("Content-Type", runtime.ContentTypeJSON)
		var err error
		call.body, err = json.Marshal(opts)
		return err
	default:
		return fmt.Errorf("unknown verb %q", w.Verb)
	}
}

func (c *Client) fillObject(call *writeCall, k kind, w client.Write) error {
	if w.Object == nil {
		return apierrors.NewBadRequest("nothing to write")
	}
	obj, gvk := w.Object, k.gvk()
	sub, isSub := k.res.Subresource(w.Subresource)
	if isSub && sub.GVK.Kind != "" && sub.GVK.Kind != k.res.Kind {
		gvk = sub.GVK
	} else if o, ok := obj.(api.Object); ok && k.ver.FromStored != nil {
		converted, err := k.ver.FromStored(o)
		if err != nil {
			return fmt.Errorf("converting %s: %w", w.Resource, err)
		}
		obj = converted
	}
	data, mediaType, err := c.encode(obj, gvk)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", w.Resource, err)
	}
	call.body = data
	call.header.Set("Content-Type", mediaType)
	return nil
}

// written reads the answer to a write.
func (c *Client) written(resp *http.Response, k kind, w client.Write) (runtime.Object, error) {
	if w.Verb == client.DeleteCollection {
		return nil, resp.Body.Close()
	}
	data, err := body(resp)
	if err != nil {
		return nil, fmt.Errorf("reading the answer of a %s of %s: %w", w.Verb, w.Resource, err)
	}
	into := k.ver.New()
	sub, isSub := k.res.Subresource(w.Subresource)
	if isSub && sub.GVK.Kind != k.res.Kind {
		into = nil // the answer says what it is
	}
	obj, err := c.decode(data, resp.Header.Get("Content-Type"), into)
	if err != nil {
		return nil, fmt.Errorf("decoding the answer of a %s of %s: %w", w.Verb, w.Resource, err)
	}
	if status, ok := obj.(*metav1.Status); ok {
		if w.Verb == client.Delete {
			return nil, nil
		}
		return status, nil
	}
	if into == nil {
		return obj, nil
	}
	return k.stored(obj)
}
