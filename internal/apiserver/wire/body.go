package wire

import (
	"io"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/convert"
)

// readBody reads a request's body up to the limit; more is 413.
func (h *Handler) readBody(r *http.Request) ([]byte, error) {
	limit := h.cfg.MaxBody
	if r.ContentLength > limit {
		return nil, tooBig(limit)
	}
	size := r.ContentLength
	if size < 0 {
		size = 512
	}
	// One byte more than announced lets the last read see the end without growing.
	data := make([]byte, 0, size+1)
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := r.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if int64(len(data)) > limit {
			return nil, tooBig(limit)
		}
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, apierrors.NewBadRequest("reading the body: " + err.Error())
		}
	}
}

func tooBig(limit int64) error {
	return apierrors.NewRequestEntityTooLargeError("limit is " + strconv.FormatInt(limit, 10))
}

// decode reads the body of a create or update as the target's type; what it returns is of the stored type.
func (h *Handler) decode(r *http.Request, t chain.Target, validation string, warned *warnings) (runtime.Object, error) {
	mediaType, err := bodyType(r, hasProto(t))
	if err != nil {
		return nil, err
	}
	data, err := h.readBody(r)
	if err != nil {
		return nil, err
	}
	body := convert.Body{
		Data: data, MediaType: mediaType, Default: t.Kind(), Into: t.New(), Strict: validation != "Ignore",
	}
	if body.Into == nil {
		return nil, apierrors.NewMethodNotSupported(t.Resource.GroupResource(), "create")
	}
	accept(&body, t)
	obj, problems, err := h.chain.Decoder().Decode(body)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		if validation == "Strict" {
			return nil, convert.StrictError(body, problems)
		}
		for _, p := range problems {
			warned.add(p.Error())
		}
	}
	if !t.OwnKind() {
		return obj, nil
	}
	stored, err := convert.ToStored(t.Resource, t.Version, obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return stored, nil
}

// accept widens what a body may be where upstream takes an older kind too.
func accept(body *convert.Body, t chain.Target) {
	if t.Subresource() == "eviction" {
		body.Also = append(body.Also, evictionBeta())
	}
}

// hasProto tells whether the target's kind has a protobuf form.
func hasProto(t chain.Target) bool {
	obj := t.New()
	if obj == nil {
		return true
	}
	_, ok := obj.(interface{ Marshal() ([]byte, error) })
	return ok
}

// asStored returns obj as a stored object of the target's resource, which it is unless a handler answered with another kind.
func asStored(t chain.Target, obj runtime.Object) (api.Object, bool) {
	o, ok := obj.(api.Object)
	if !ok {
		return nil, false
	}
	if kind := obj.GetObjectKind().GroupVersionKind().Kind; kind != "" && kind != t.Resource.Kind {
		return nil, false
	}
	return o, true
}
