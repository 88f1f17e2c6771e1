package wire

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/convert"
	"coracle.dev/coracle/internal/apiserver/table"
)

// gzipFrom is the size in bytes from which answers are compressed when the client accepts it, as upstream has it.
const gzipFrom = 128 * 1024

func (h *Handler) list(ans *answer, call *chain.Call, query url.Values) error {
	opts, err := listOptions(query, false)
	if err != nil {
		return err
	}
	found, err := h.chain.List(ans.r.Context(), call, chain.ListOptions{
		Limit: opts.Limit, Continue: opts.Continue,
		ResourceVersion: opts.ResourceVersion, ResourceVersionMatch: opts.ResourceVersionMatch,
	})
	if err != nil {
		return err
	}
	if boolParam(query, "requestProgress") {
		h.chain.RequestProgress(ans.r.Context(), call.Target)
	}
	return h.listing(ans, call.Target, found)
}

// listing writes a list. The items' encodings are shared; only what joins them is made here.
func (h *Handler) listing(ans *answer, t chain.Target, found *chain.Listing) error {
	meta := metav1.ListMeta{
		ResourceVersion: strconv.FormatInt(found.Revision, 10), Continue: found.Continue, RemainingItemCount: found.Remaining,
	}
	if ans.media.As == "Table" {
		return h.tableOf(ans, http.StatusOK, t, found.Items, &meta)
	}
	f := formOf(t, ans.media)
	parts := make([][]byte, 0, len(found.Items))
	size := 0
	for _, item := range found.Items {
		bare, err := f.bare(item)
		if err != nil {
			return err
		}
		parts = append(parts, bare)
		size += len(bare)
	}
	gvk := schema.GroupVersionKind{Group: t.Resource.Group, Version: t.Version.Name, Kind: t.Resource.ListKind}
	if f.partial {
		gvk = metaKind(ans.media, "PartialObjectMetadataList")
	}
	if f.protobuf {
		return ans.protoList(gvk, &meta, parts, size)
	}
	return ans.jsonList(f, gvk, &meta, parts, size)
}

func (a *answer) jsonList(f form, gvk schema.GroupVersionKind, meta *metav1.ListMeta, parts [][]byte, size int) error {
	head, err := json.Marshal(meta)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	write := func(w *bufio.Writer) error {
		_, _ = w.Write(jsonOpen(gvk)) // errors of a bufio.Writer stay until Flush
		_, _ = w.WriteString(`,"metadata":`)
		_, _ = w.Write(head)
		_, _ = w.WriteString(`,"items":[`)
		var scratch []byte
		for i, p := range parts {
			if i > 0 {
				_ = w.WriteByte(',')
			}
			if f.partial {
				scratch = f.appendAlone(scratch[:0], p)
				p = scratch
			}
			_, _ = w.Write(p)
		}
		_, err := w.WriteString("]}\n")
		return err
	}
	if a.media.Type == convert.YAML || a.media.Pretty {
		return a.textList(write)
	}
	a.head(a.media.Type)
	return a.stream(size+len(parts)+256, write)
}

// textList writes a list as YAML or indented, for people: whole in memory.
func (a *answer) textList(write func(*bufio.Writer) error) error {
	var b strings.Builder
	w := bufio.NewWriter(&b)
	if err := write(w); err != nil {
		return apierrors.NewInternalError(err)
	}
	_ = w.Flush() // a Builder takes everything
	data, err := finishText([]byte(b.String()), a.media.Type, a.media.Pretty)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	return a.bytes(http.StatusOK, data)
}

func (a *answer) protoList(gvk schema.GroupVersionKind, meta *metav1.ListMeta, parts [][]byte, size int) error {
	metaBytes, err := meta.Marshal()
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	raw := 1 + varintLen(uint64(len(metaBytes))) + len(metaBytes)
	for _, p := range parts {
		raw += 1 + varintLen(uint64(len(p))) + len(p)
	}
	a.head(a.media.Type)
	return a.stream(size, func(w *bufio.Writer) error {
		scratch := appendEnvelopeHead(make([]byte, 0, 128), gvk, raw)
		_, _ = w.Write(scratch) // errors of a bufio.Writer stay until Flush
		_, _ = w.Write(appendBytesField(scratch[:0], 1, string(metaBytes)))
		for _, p := range parts {
			_, _ = w.Write(appendVarint(append(scratch[:0], 2<<3|2), uint64(len(p))))
			_, _ = w.Write(p)
		}
		_, err := w.WriteString(envelopeTail)
		return err
	})
}

// body writes a finished body, compressed when that pays.
func (a *answer) body(code int, data []byte) error {
	if len(data) >= gzipFrom && a.acceptsGzip() {
		return a.compressed(code, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
	}
	a.w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	a.w.WriteHeader(code)
	_, _ = a.w.Write(data) // the client may be gone
	return nil
}

// stream writes a body of about size bytes as it is made, compressed when that pays.
func (a *answer) stream(size int, write func(*bufio.Writer) error) error {
	if size >= gzipFrom && a.acceptsGzip() {
		return a.compressed(http.StatusOK, func(w io.Writer) error { return a.pools.buffered(w, write) })
	}
	a.w.WriteHeader(http.StatusOK)
	_ = a.pools.buffered(a.w, write) // the client may be gone
	return nil
}

func (a *answer) acceptsGzip() bool {
	return strings.Contains(a.r.Header.Get("Accept-Encoding"), "gzip") && a.r.Method == http.MethodGet && !sameHost(a.r)
}

// sameHost tells whether the client is on this machine, where compressing costs more than it saves.
func sameHost(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if remote.Addr().Unmap().IsLoopback() {
		return true
	}
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if addr == nil {
		return false
	}
	local, err := netip.ParseAddrPort(addr.String())
	return err == nil && local.Addr().Unmap() == remote.Addr().Unmap()
}

func (a *answer) compressed(code int, write func(io.Writer) error) error {
	h := a.w.Header()
	h.Set("Content-Encoding", "gzip")
	h.Add("Vary", "Accept-Encoding")
	a.w.WriteHeader(code)
	z, _ := a.pools.zippers.Get().(*gzip.Writer)
	z.Reset(a.w)
	if err := write(z); err == nil {
		_ = z.Close() // the client may be gone
	}
	a.pools.zippers.Put(z)
	return nil
}

// buffered gives write a buffer in front of w.
func (p *pools) buffered(w io.Writer, write func(*bufio.Writer) error) error {
	b, _ := p.buffers.Get().(*bufio.Writer)
	b.Reset(w)
	err := write(b)
	if flushErr := b.Flush(); err == nil {
		err = flushErr
	}
	b.Reset(nil)
	p.buffers.Put(b)
	return err
}

// pools keep what every large answer needs; their content carries nothing from one answer to the next.
type pools struct{ zippers, buffers sync.Pool }

func newPools() *pools {
	return &pools{
		zippers: sync.Pool{New: func() any {
			z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // fails only on a level that there is not
			return z
		}},
		buffers: sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 32*1024) }},
	}
}

func includePolicy(query url.Values) (metav1.IncludeObjectPolicy, error) {
	switch p := metav1.IncludeObjectPolicy(query.Get("includeObject")); p {
	case "":
		return metav1.IncludeMetadata, nil
	case metav1.IncludeNone, metav1.IncludeMetadata, metav1.IncludeObject:
		return p, nil
	default:
		return "", apierrors.NewBadRequest("unrecognized includeObject value: " + string(p))
	}
}

// tableOf writes items as a table with the rows' metadata.
func (h *Handler) tableOf(ans *answer, code int, t chain.Target, items []chain.Item, meta *metav1.ListMeta) error {
	include, err := includePolicy(ans.r.URL.Query())
	if err != nil {
		return err
	}
	tbl, err := h.table(t, ans.media, items, include)
	if err != nil {
		return err
	}
	tbl.ListMeta = *meta
	tbl.ColumnDefinitions = table.Columns(t.Resource)
	return ans.object(code, tbl)
}

// table makes the rows of items.
func (h *Handler) table(t chain.Target, m Media, items []chain.Item, include metav1.IncludeObjectPolicy) (*metav1.Table, error) {
	f := formOf(t, Media{Type: convert.JSON})
	if include == metav1.IncludeMetadata {
		f = formOf(t, Media{Type: convert.JSON, As: "PartialObjectMetadata", AsVersion: m.AsVersion})
	}
	now := h.chain.Now()
	out := &metav1.Table{Rows: make([]metav1.TableRow, 0, len(items))}
	out.SetGroupVersionKind(metaKind(m, "Table"))
	for _, item := range items {
		obj, err := item.Object()
		if err != nil {
			return nil, err
		}
		var raw []byte
		if include != metav1.IncludeNone {
			bare, err := f.bare(item)
			if err != nil {
				return nil, err
			}
			raw = f.appendAlone(make([]byte, 0, len(bare)+96), bare)
		}
		out.Rows = append(out.Rows, table.Row(t.Resource, obj, raw, now))
	}
	return out, nil
}
