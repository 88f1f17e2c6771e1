package local

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client"
)

// RawFunc performs an HTTP request as a user without leaving the process.
type RawFunc func(
	ctx context.Context, user request.User, method, path string, header http.Header, body io.Reader,
) (*http.Response, error)

// Client is a client.Interface in the server's process. Safe for concurrent use.
type Client struct {
	chain *chain.Chain
	user  request.User
	raw   RawFunc
	// manager is the field manager of writes that name none.
	manager string
}

var _ client.Interface = (*Client)(nil)

// New makes a client that acts as the user.
func New(c *chain.Chain, user request.User, raw RawFunc) *Client {
	manager := user.Name[strings.LastIndexByte(user.Name, ':')+1:]
	return &Client{chain: c, user: user, raw: raw, manager: manager}
}

// Catalogue implements client.Interface.
func (c *Client) Catalogue() *api.Catalogue { return c.chain.Catalogue() }

// Raw implements client.Interface.
func (c *Client) Raw(
	ctx context.Context, method, path string, header http.Header, body io.Reader,
) (*http.Response, error) {
	return c.raw(ctx, c.user, method, path, header, body)
}

// call makes a call at the stored version.
func (c *Client) call(verb string, gr schema.GroupResource, sub, namespace, name string) (*chain.Call, error) {
	res, ok := c.chain.Catalogue().Resource(gr)
	if !ok {
		return nil, apierrors.NewNotFound(gr, name)
	}
	target, err := c.chain.Resolve(gr, storedVersion(res), sub)
	if err != nil {
		return nil, apierrors.NewNotFound(gr, name)
	}
	call := &chain.Call{
		Target: target, FieldManager: c.manager,
		Attributes: request.Attributes{
			User: c.user, Verb: verb, IsResource: true, Group: gr.Group, Version: target.Version.Name, Resource: gr.Resource,
			Subresource: sub, Namespace: namespace, Name: name,
		},
	}
	return call, nil
}

// storedVersion names the served version that is the stored type; empty (the preferred one) for views on other kinds.
func storedVersion(res *api.Resource) string {
	if _, ok := res.Version(res.StoredVersion); ok {
		return res.StoredVersion
	}
	return ""
}

// Get implements client.Interface.
func (c *Client) Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (api.Object, error) {
	call, err := c.call("get", gr, "", namespace, name)
	if err != nil {
		return nil, err
	}
	if err := c.chain.Authorize(ctx, &call.Attributes); err != nil {
		return nil, err
	}
	item, err := c.chain.Get(ctx, call, "")
	if err != nil {
		return nil, err
	}
	return item.Object()
}

// List implements client.Interface.
func (c *Client) List(ctx context.Context, gr schema.GroupResource, opts client.ListOptions) (*client.List, error) {
	call, err := c.call("list", gr, "", opts.Namespace, "")
	if err != nil {
		return nil, err
	}
	call.LabelSelector, call.FieldSelector = opts.LabelSelector, opts.FieldSelector
	if err := c.chain.Authorize(ctx, &call.Attributes); err != nil {
		return nil, err
	}
	found, err := c.chain.List(ctx, call, chain.ListOptions{Limit: opts.Limit, Continue: opts.Continue})
	if err != nil {
		return nil, err
	}
	out := &client.List{Revision: found.Revision, Continue: found.Continue, Items: make([]api.Object, 0, len(found.Items))}
	for _, item := range found.Items {
		obj, err := item.Object()
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, obj)
	}
	return out, nil
}

// Write implements client.Interface.
func (c *Client) Write(ctx context.Context, w client.Write) (runtime.Object, error) {
	namespace, name := w.Namespace, w.Name
	if o, ok := w.Object.(metav1.Object); ok {
		if namespace == "" {
			namespace = o.GetNamespace()
		}
		if name == "" && (w.Verb != client.Create || w.Subresource != "") {
			name = o.GetName()
		}
	}
	call, err := c.call(string(w.Verb), w.Resource, w.Subresource, namespace, name)
	if err != nil {
		return nil, err
	}
	if call.Target.Resource.Plural == "namespaces" && call.Target.Resource.Group == "" {
		call.Namespace = name
	}
	call.LabelSelector, call.FieldSelector = w.Selector.LabelSelector, w.Selector.FieldSelector
	call.DryRun = w.DryRun
	if w.FieldManager != "" {
		call.FieldManager = w.FieldManager
	}
	if err := c.chain.Authorize(ctx, &call.Attributes); err != nil {
		return nil, err
	}
	return c.perform(ctx, call, w)
}

func (c *Client) perform(ctx context.Context, call *chain.Call, w client.Write) (runtime.Object, error) {
	switch w.Verb {
	case client.Create:
		if w.Object == nil {
			return nil, apierrors.NewBadRequest("nothing to create")
		}
		return c.chain.Create(ctx, call, w.Object.DeepCopyObject())
	case client.Update:
		if w.Object == nil {
			return nil, apierrors.NewBadRequest("nothing to update to")
		}
		out, _, err := c.chain.Update(ctx, call, w.Object.DeepCopyObject())
		return out, err
	case client.Patch:
		out, _, err := c.chain.Patch(ctx, call, chain.PatchRequest{Type: w.PatchType, Data: w.PatchData, Force: w.Force})
		return out, err
	case client.Delete:
		return c.delete(ctx, call, w)
	case client.DeleteCollection:
		_, err := c.chain.DeleteCollection(ctx, call, chain.ListOptions{
			Limit: w.Selector.Limit, Continue: w.Selector.Continue,
		}, deleteOptions(w))
		return nil, err
	default:
		return nil, fmt.Errorf("unknown verb %q", w.Verb)
	}
}

func deleteOptions(w client.Write) *metav1.DeleteOptions {
	opts := w.Delete.DeepCopy()
	if w.DryRun {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	return opts
}

func (c *Client) delete(ctx context.Context, call *chain.Call, w client.Write) (runtime.Object, error) {
	opts := deleteOptions(w)
	call.DryRun = len(opts.DryRun) > 0
	out, err := c.chain.Delete(ctx, call, opts)
	if err != nil {
		return nil, err
	}
	if _, ok := out.Object.(*metav1.Status); ok {
		return nil, nil
	}
	return out.Object, nil
}
