package wire

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/convert"
	"coracle.dev/coracle/internal/apiserver/table"
)

// minWatch is how long a watch lasts at least that names no time; upstream's half an hour to an hour.
const minWatch = 30 * time.Minute

// lastBookmark is how long before its end a watch sends a bookmark, so that the client goes on from there.
const lastBookmark = 2 * time.Second

func (h *Handler) watch(ans *answer, call *chain.Call, query url.Values) error {
	opts, err := listOptions(query, true)
	if err != nil {
		return err
	}
	if ans.media.Type == convert.YAML {
		return notAcceptable(offer{protobuf: hasProto(call.Target)})
	}
	include, err := includePolicy(query)
	if err != nil {
		return err
	}
	lasts := minWatch + time.Duration(h.cfg.Rand(int(minWatch)))
	if opts.TimeoutSeconds != nil && *opts.TimeoutSeconds > 0 {
		lasts = time.Duration(*opts.TimeoutSeconds) * time.Second
	}
	ctx, cancel := context.WithTimeout(ans.r.Context(), lasts)
	defer cancel()
	if call.Name != "" && call.FieldSelector == "" {
		call.FieldSelector = "metadata.name=" + call.Name
	}
	w, err := h.chain.Watch(ctx, call, chain.WatchOptions{
		ResourceVersion: opts.ResourceVersion, SendInitialEvents: opts.SendInitialEvents, Bookmarks: opts.AllowWatchBookmarks,
		ProgressOnRead: opts.AllowWatchBookmarks && boolParam(query, "progressOnRead"),
	})
	s := &watchStream{
		h: h, ans: ans, target: call.Target, include: include, form: formOf(call.Target, ans.media),
		bookmarks: opts.AllowWatchBookmarks,
	}
	if err != nil && !apierrors.IsResourceExpired(err) {
		return err
	}
	if err == nil {
		defer w.Close()
	}
	if websocket.IsWebSocketUpgrade(ans.r) {
		var done func()
		var ok bool
		if ctx, done, ok = ans.overSocket(ctx); !ok {
			return nil
		}
		defer done()
	}
	s.open()
	if err != nil {
		// Upstream's cache answers this one inside the stream.
		return s.fail(err)
	}
	return s.run(ctx, w, lasts)
}

// watchStream writes the events of one watch.
type watchStream struct {
	h         *Handler
	ans       *answer
	target    chain.Target
	include   metav1.IncludeObjectPolicy
	form      form
	bookmarks bool
	// headed: a table's columns have been sent.
	headed bool
	buf    []byte
}

func (s *watchStream) open() {
	contentType := s.ans.media.Type
	if contentType != convert.JSON {
		contentType += ";stream=watch"
	}
	s.ans.head(contentType)
	s.ans.w.WriteHeader(http.StatusOK)
	s.flush()
}

func (s *watchStream) flush() {
	if f, ok := s.ans.w.(http.Flusher); ok {
		f.Flush()
	}
}

// run passes events on until the watch ends. Errors of the connection end it silently.
func (s *watchStream) run(ctx context.Context, w *chain.Watch, lasts time.Duration) error {
	end := s.h.chain.Now().Add(lasts)
	var sent int64
	for {
		events, err := w.Next(ctx, s.nextBookmark(end))
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return s.fail(err)
		}
		if len(events) == 0 {
			if p := w.Progress(); s.bookmarks && p > sent {
				events = []chain.WatchEvent{{Type: chain.EventBookmark, Revision: p}}
				sent = p
			}
		}
		for i := range events {
			data, err := s.object(&events[i])
			if err != nil {
				s.h.cfg.Logger.Error("encoding a watch event failed", "resource", s.target.Resource.GroupResource().String(),
					"revision", events[i].Revision, "error", err)
				return s.fail(err)
			}
			if err := s.write(events[i].Type, data); err != nil {
				return nil // the connection is gone
			}
		}
		if len(events) > 0 {
			s.flush()
		}
	}
}

// nextBookmark is how long to wait for events before a bookmark is due; 0 for ever.
func (s *watchStream) nextBookmark(end time.Time) time.Duration {
	if !s.bookmarks {
		return 0
	}
	left := end.Sub(s.h.chain.Now()) - lastBookmark
	if left <= 0 || left > s.h.cfg.BookmarkEvery {
		return s.h.cfg.BookmarkEvery
	}
	return left
}

// fail ends the stream with an ERROR event.
func (s *watchStream) fail(err error) error {
	data, encodeErr := encodeObject(StatusOf(err), s.ans.media.Type, false)
	if encodeErr != nil {
		return nil
	}
	if writeErr := s.write("ERROR", data); writeErr == nil {
		s.flush()
	}
	return nil
}

// object encodes what an event carries.
func (s *watchStream) object(ev *chain.WatchEvent) ([]byte, error) {
	if s.ans.media.As == "Table" {
		return s.tableEvent(ev)
	}
	if ev.Type == chain.EventBookmark {
		return s.bookmark(ev)
	}
	bare, err := s.form.bare(ev.Item)
	if err != nil {
		return nil, err
	}
	s.buf = s.form.appendAlone(s.buf[:0], bare)
	return s.buf, nil
}

func (s *watchStream) bookmark(ev *chain.WatchEvent) ([]byte, error) {
	obj := s.h.chain.Stored(s.target.Resource).NewStored()
	markBookmark(obj, ev)
	bare, err := s.form.encode(obj)
	if err != nil {
		return nil, err
	}
	s.buf = s.form.appendAlone(s.buf[:0], bare)
	return s.buf, nil
}

func markBookmark(obj api.Object, ev *chain.WatchEvent) {
	obj.SetResourceVersion(strconv.FormatInt(ev.Revision, 10))
	if ev.InitialEnd {
		obj.SetAnnotations(map[string]string{chain.InitialEventsEnd: "true"})
	}
}

// tableEvent makes a table of one row, the columns only the first time.
func (s *watchStream) tableEvent(ev *chain.WatchEvent) ([]byte, error) {
	var tbl *metav1.Table
	if ev.Type == chain.EventBookmark {
		obj := s.h.chain.Stored(s.target.Resource).NewStored()
		markBookmark(obj, ev)
		raw, err := s.rowObject(obj)
		if err != nil {
			return nil, err
		}
		tbl = &metav1.Table{Rows: []metav1.TableRow{{Cells: []any{}, Object: runtime.RawExtension{Raw: raw}}}}
		tbl.SetGroupVersionKind(metaKind(s.ans.media, "Table"))
	} else {
		var err error
		if tbl, err = s.h.table(s.target, s.ans.media, []chain.Item{ev.Item}, s.include); err != nil {
			return nil, err
		}
	}
	tbl.ResourceVersion = strconv.FormatInt(ev.Revision, 10)
	if !s.headed {
		s.headed = true
		tbl.ColumnDefinitions = table.Columns(s.target.Resource)
	}
	return json.Marshal(tbl)
}

// rowObject encodes the metadata that a bookmark's row carries.
func (s *watchStream) rowObject(obj api.Object) ([]byte, error) {
	f := formOf(s.target, Media{Type: convert.JSON, As: "PartialObjectMetadata", AsVersion: s.ans.media.AsVersion})
	bare, err := f.encode(obj)
	if err != nil {
		return nil, err
	}
	return f.appendAlone(nil, bare), nil
}

// write writes one event around its object.
func (s *watchStream) write(eventType string, object []byte) error {
	if s.ans.media.Type == convert.Protobuf {
		return s.writeProto(eventType, object)
	}
	w := s.ans.w
	if len(object) > 0 && object[len(object)-1] == '\n' {
		object = object[:len(object)-1]
	}
	head := append(make([]byte, 0, len(object)+48), `{"type":"`...)
	head = append(head, eventType...)
	head = append(head, `","object":`...)
	head = append(head, object...)
	head = append(head, "}\n"...)
	_, err := w.Write(head)
	return err
}

// writeProto writes a length-delimited WatchEvent: type, and the object in its envelope.
func (s *watchStream) writeProto(eventType string, object []byte) error {
	inner := 1 + varintLen(uint64(len(object))) + len(object)
	size := 1 + 1 + len(eventType) + 1 + varintLen(uint64(inner)) + inner
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, size+4), uint32(size))
	frame = appendBytesField(frame, 1, eventType)
	frame = append(frame, 2<<3|2)
	frame = appendVarint(frame, uint64(inner))
	frame = append(frame, 1<<3|2)
	frame = appendVarint(frame, uint64(len(object)))
	frame = append(frame, object...)
	_, err := s.ans.w.Write(frame)
	return err
}
