package wire

import (
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/convert"
)

// Warnings longer than these are cut, then dropped, as upstream does.
const (
	maxWarning     = 256
	maxAllWarnings = 4 * 1024
)

// warnings collects the Warning headers of one answer.
type warnings struct {
	seen  map[string]bool
	total int
	out   []string
}

func (w *warnings) add(text string) {
	if text == "" || w.seen[text] {
		return
	}
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	w.seen[text] = true
	if w.total+len(text) > maxAllWarnings && len(text) > maxWarning {
		text = text[:maxWarning]
	}
	if w.total+len(text) > maxAllWarnings {
		return
	}
	w.total += len(text)
	if header, err := utilnet.NewWarningHeader(299, "-", text); err == nil {
		w.out = append(w.out, header)
	}
}

func (w *warnings) write(h http.Header) {
	for _, text := range w.out {
		h.Add("Warning", text)
	}
}

// StatusOf makes the Status of an error. One that is none of the API's own is a 500 without a reason, as in upstream.
func StatusOf(err error) *metav1.Status {
	var status apierrors.APIStatus
	var out metav1.Status
	switch {
	case errors.As(err, &status):
		out = status.Status()
	case errors.Is(err, chain.ErrNoRoute):
		out.Code, out.Reason, out.Message = http.StatusNotFound, metav1.StatusReasonNotFound, err.Error()
		out.Details = &metav1.StatusDetails{}
	default:
		out.Message = err.Error()
	}
	out.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if out.Status == "" {
		out.Status = metav1.StatusFailure
	}
	if out.Code == 0 {
		out.Code = http.StatusInternalServerError
	}
	return &out
}

// WriteError answers with the Status of an error, in the form the request accepts.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	status := StatusOf(err)
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	m, negotiated := negotiate(r, offer{protobuf: true, transforms: true})
	if negotiated != nil {
		m = Media{Type: convert.JSON}
	}
	data, encodeErr := encodeObject(status, m.Type, m.Pretty)
	if encodeErr != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", m.Type)
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(int(status.Code))
	_, _ = w.Write(data) // the client may be gone
}

// answer is where a handler writes its result.
type answer struct {
	w      http.ResponseWriter
	r      *http.Request
	media  Media
	warned *warnings
	pools  *pools
}

func (a *answer) head(contentType string) {
	h := a.w.Header()
	a.warned.write(h)
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-cache, private")
}

// bytes writes one finished body.
func (a *answer) bytes(code int, data []byte) error {
	a.head(a.media.Type)
	return a.body(code, data)
}

// object writes any object whose kind is set.
func (a *answer) object(code int, obj runtime.Object) error {
	data, err := encodeObject(obj, a.media.Type, a.media.Pretty)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	return a.bytes(code, data)
}

// item writes one stored object, transformed if that was asked for.
func (h *Handler) item(a *answer, code int, t chain.Target, item chain.Item) error {
	if a.media.As == "Table" {
		meta := &metav1.ListMeta{ResourceVersion: strconv.FormatInt(item.Revision(), 10)}
		return h.tableOf(a, code, t, []chain.Item{item}, meta)
	}
	f := formOf(t, a.media)
	bare, err := f.bare(item)
	if err != nil {
		return err
	}
	data := f.appendAlone(make([]byte, 0, len(bare)+128), bare)
	if f.protobuf {
		return a.bytes(code, data)
	}
	if data, err = finishText(data, a.media.Type, a.media.Pretty); err != nil {
		return apierrors.NewInternalError(err)
	}
	return a.bytes(code, data)
}

// result writes what a write or subresource returned.
func (h *Handler) result(a *answer, code int, t chain.Target, obj runtime.Object) error {
	if status, ok := obj.(*metav1.Status); ok {
		if status.Code == 0 {
			status.Code = int32(code)
		}
		status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		return a.object(code, status)
	}
	if t.OwnKind() {
		if o, ok := asStored(t, obj); ok {
			return h.item(a, code, t, chain.ItemOf(o))
		}
	}
	if obj.GetObjectKind().GroupVersionKind().Empty() {
		obj = convert.WithKind(obj, t.Kind())
	}
	return a.object(code, obj)
}
