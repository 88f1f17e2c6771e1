package remote

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// maxFrame bounds one event of a watch, in bytes: far above what any server stores.
const maxFrame = 64 << 20

// watchEvent is one event as it came.
type watchEvent struct {
	kind   string
	object runtime.Object
}

// readWatch decodes the events of a watch until it ends. The end is io.EOF.
func (c *Client) readWatch(
	ctx context.Context, resp *http.Response, into func() runtime.Object, events chan<- watchEvent,
) error {
	contentType := resp.Header.Get("Content-Type")
	next := jsonFrames(resp.Body)
	if strings.HasPrefix(contentType, runtime.ContentTypeProtobuf) {
		next = protoFrames(resp.Body)
	}
	for {
		frame, err := next()
		if err != nil {
			return err
		}
		ev, err := c.event(frame, contentType, into)
		if err != nil {
			return err
		}
		select {
		case events <- ev:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// event decodes the object of a frame; that of an ERROR is a Status.
func (c *Client) event(frame metav1.WatchEvent, contentType string, into func() runtime.Object) (watchEvent, error) {
	var target runtime.Object
	if frame.Type != "ERROR" {
		target = into()
	}
	obj, err := c.decode(frame.Object.Raw, contentType, target)
	if err != nil {
		return watchEvent{}, fmt.Errorf("decoding a watch event: %w", err)
	}
	return watchEvent{kind: frame.Type, object: obj}, nil
}

func jsonFrames(r io.Reader) func() (metav1.WatchEvent, error) {
	dec := json.NewDecoder(r)
	return func() (metav1.WatchEvent, error) {
		var frame struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		err := dec.Decode(&frame)
		return metav1.WatchEvent{Type: frame.Type, Object: runtime.RawExtension{Raw: frame.Object}}, err
	}
}

// protoFrames reads length-delimited messages. A stream that ends within one is as good as ended before it.
func protoFrames(r io.Reader) func() (metav1.WatchEvent, error) {
	buffered := bufio.NewReaderSize(r, 32*1024)
	var buf []byte
	return func() (metav1.WatchEvent, error) {
		var frame metav1.WatchEvent
		var head [4]byte
		if _, err := io.ReadFull(buffered, head[:]); err != nil {
			return frame, ended(err)
		}
		size := binary.BigEndian.Uint32(head[:])
		if size > maxFrame {
			return frame, fmt.Errorf("a watch event of %d bytes", size)
		}
		if uint32(cap(buf)) < size {
			buf = make([]byte, size)
		}
		buf = buf[:size]
		if _, err := io.ReadFull(buffered, buf); err != nil {
			return frame, ended(err)
		}
		if err := frame.Unmarshal(buf); err != nil {
			return frame, fmt.Errorf("decoding a watch event: %w", err)
		}
		return frame, nil
	}
}

func ended(err error) error {
	if err == io.ErrUnexpectedEOF { //nolint:errorlint // the very value
		return io.EOF
	}
	return err
}
