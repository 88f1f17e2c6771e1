package remote

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzFrames reads any bytes as a watch: it must end, and must not read more than came.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":{"a":1}}` + "\n"))
	f.Add([]byte("\x00\x00\x00\x09\n\x05ADDED\x12\x00"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x05\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, next := range map[string]func() (metav1.WatchEvent, error){
			"json": jsonFrames(bytes.NewReader(data)), "protobuf": protoFrames(bytes.NewReader(data)),
		} {
			for n := 0; ; n++ {
				if n > len(data) {
					t.Fatalf("%s: more events than bytes", name)
				}
				if _, err := next(); err != nil {
					break
				}
			}
		}
	})
}

// TestCutFrames ends streams within an event: that is an end like any other, after which a watch goes on elsewhere.
func TestCutFrames(t *testing.T) {
	whole := "\x00\x00\x00\x09\n\x05ADDED\x12\x00"
	for cut := range len(whole) {
		next := protoFrames(strings.NewReader(whole[:cut]))
		if _, err := next(); !errors.Is(err, io.EOF) {
			t.Errorf("after %d bytes: %v", cut, err)
		}
	}
	next := protoFrames(strings.NewReader(whole))
	if frame, err := next(); err != nil || frame.Type != "ADDED" {
		t.Errorf("got %+v, %v", frame, err)
	}
}
