package wire

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/convert"
	"coracle.dev/coracle/internal/apiserver/patch"
)

// posted puts the options into the call, and reads the object that was sent.
func (h *Handler) posted(ans *answer, call *chain.Call, o writeOptions, opts runtime.Object) (runtime.Object, error) {
	applyOptions(ans, call, o)
	call.Options = opts
	return h.decode(ans.r, call.Target, call.Validation, ans.warned)
}

// applyOptions puts the options that all writes share into the call.
func applyOptions(ans *answer, call *chain.Call, o writeOptions) {
	call.DryRun = len(o.DryRun) > 0
	call.FieldManager = managerOf(o.FieldManager, ans.r.UserAgent())
	call.Validation = validationLevel(o.FieldValidation)
}

func (h *Handler) create(ctx context.Context, ans *answer, call *chain.Call, query url.Values) error {
	o := readWriteOptions(query)
	opts, err := o.create()
	if err != nil {
		return err
	}
	obj, err := h.posted(ans, call, o, opts)
	if err != nil {
		return err
	}
	out, err := h.chain.Create(ctx, call, obj)
	if err != nil {
		return err
	}
	return h.result(ans, http.StatusCreated, call.Target, out)
}

func (h *Handler) update(ctx context.Context, ans *answer, call *chain.Call, query url.Values) error {
	o := readWriteOptions(query)
	opts, err := o.update()
	if err != nil {
		return err
	}
	obj, err := h.posted(ans, call, o, opts)
	if err != nil {
		return err
	}
	out, created, err := h.chain.Update(ctx, call, obj)
	if err != nil {
		return err
	}
	return h.result(ans, createdCode(created), call.Target, out)
}

func createdCode(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (h *Handler) patch(ctx context.Context, ans *answer, call *chain.Call, query url.Values) error {
	mediaType, _, err := mime.ParseMediaType(ans.r.Header.Get("Content-Type"))
	_, custom := call.Target.Version.New().(*unstructured.Unstructured)
	supported := patch.Supported(custom)
	if err != nil || !slices.Contains(supported, mediaType) {
		return unsupportedMedia(supported)
	}
	patchType := types.PatchType(mediaType)
	o := readWriteOptions(query)
	opts, err := o.patch(patchType)
	if err != nil {
		return err
	}
	data, err := h.readBody(ans.r)
	if err != nil {
		return err
	}
	applyOptions(ans, call, o)
	call.Options = opts
	out, created, err := h.chain.Patch(ctx, call, chain.PatchRequest{
		Type: patchType, Data: data, Force: o.Force != nil && *o.Force,
	})
	if err != nil {
		return err
	}
	return h.result(ans, createdCode(created), call.Target, out)
}

// deleteOptions reads a delete's options from its body, or from the query when there is none.
func (h *Handler) deleteOptions(ans *answer, query url.Values) (*metav1.DeleteOptions, error) {
	data, err := h.readBody(ans.r)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return deleteQuery(query)
	}
	mediaType, err := bodyType(ans.r, true)
	if err != nil {
		return nil, err
	}
	opts, err := convert.DeleteOptions(data, mediaType)
	if err != nil {
		return nil, err
	}
	// Preconditions and grace come from the body alone, the dry run from either.
	if len(opts.DryRun) == 0 {
		opts.DryRun = query["dryRun"]
	}
	opts.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("DeleteOptions"))
	return opts, nil
}

func (h *Handler) delete(ctx context.Context, ans *answer, call *chain.Call, query url.Values) error {
	opts, err := h.deleteOptions(ans, query)
	if err != nil {
		return err
	}
	call.DryRun = len(opts.DryRun) > 0
	out, err := h.chain.Delete(ctx, call, opts)
	if err != nil {
		return err
	}
	code := http.StatusOK
	//nolint:staticcheck // old clients still send orphanDependents
	if orphan := opts.OrphanDependents; !out.Gone && orphan != nil && !*orphan {
		code = http.StatusAccepted
	}
	return h.result(ans, code, call.Target, out.Object)
}

func (h *Handler) deleteCollection(ctx context.Context, ans *answer, call *chain.Call, query url.Values) error {
	opts, err := h.deleteOptions(ans, query)
	if err != nil {
		return err
	}
	list, err := listOptions(query, false)
	if err != nil {
		return err
	}
	call.DryRun = len(opts.DryRun) > 0
	found, err := h.chain.DeleteCollection(ctx, call, chain.ListOptions{
		ResourceVersion: list.ResourceVersion, ResourceVersionMatch: list.ResourceVersionMatch,
		Limit: list.Limit, Continue: list.Continue,
	}, opts)
	if err != nil {
		return err
	}
	return h.listing(ans, call.Target, found)
}
