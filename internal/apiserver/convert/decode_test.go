package convert_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/apiserver/convert"
)

func decoder(t testing.TB) *convert.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return convert.NewDecoder(scheme)
}

func podKind() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("Pod") }

func TestDecodeUnstructured(t *testing.T) {
	kind := schema.GroupVersionKind{Group: "x.io", Version: "v1", Kind: "Thing"}
	for _, c := range []struct {
		name, body, mediaType string
		problems              int
		bad                   string
	}{
		{"json", `{"apiVersion":"x.io/v1","kind":"Thing","spec":{"n":1}}`, convert.JSON, 0, ""},
		{"no kind", `{"spec":{}}`, convert.JSON, 0, ""},
		{"duplicate", `{"a":1,"a":2}`, convert.JSON, 1, ""},
		{"yaml", "apiVersion: x.io/v1\nkind: Thing\n", convert.YAML, 0, ""},
		{"yaml with a duplicate", "kind: Thing\napiVersion: x.io/v1\na: 1\na: 2\n", convert.YAML, 1, ""},
		{"other version", `{"apiVersion":"x.io/v2","kind":"Thing"}`, convert.JSON, 0, "the API version in the data (x.io/v2)"},
		{"other kind", `{"apiVersion":"x.io/v1","kind":"Other"}`, convert.JSON, 0, "Other in version"},
		{"no object", `[1]`, convert.JSON, 0, "unrecognized"},
		{"nothing", ``, convert.JSON, 0, "<empty>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			obj, problems, err := decoder(t).Decode(convert.Body{
				Data: []byte(c.body), MediaType: c.mediaType, Default: kind, Into: &unstructured.Unstructured{}, Strict: true,
			})
			if c.bad != "" {
				if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), c.bad) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || len(problems) != c.problems || obj.GetObjectKind().GroupVersionKind() != kind {
				t.Errorf("got %v, %v, %v", obj, problems, err)
			}
		})
	}
}

func TestDeleteOptions(t *testing.T) {
	grace := int64(4)
	raw, err := (&metav1.DeleteOptions{GracePeriodSeconds: &grace}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}, Raw: raw}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, body, mediaType string
		ok                    bool
	}{
		{"json", `{"kind":"DeleteOptions","apiVersion":"policy/v1","gracePeriodSeconds":4}`, convert.JSON, true},
		{"without a kind", `{"gracePeriodSeconds":4}`, convert.JSON, true},
		{"yaml", "gracePeriodSeconds: 4", convert.YAML, true},
		{"protobuf", "k8s\x00" + string(packed), convert.Protobuf, true},
		{"other kind", `{"kind":"Pod","gracePeriodSeconds":4}`, convert.JSON, false},
		{"no protobuf", "hello", convert.Protobuf, false},
		{"nonsense", "{", convert.JSON, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts, err := convert.DeleteOptions([]byte(c.body), c.mediaType)
			if ok := err == nil; ok != c.ok || (ok && *opts.GracePeriodSeconds != 4) {
				t.Errorf("got %v, %v", opts, err)
			}
			if err != nil && !apierrors.IsBadRequest(err) {
				t.Errorf("not a bad request: %v", err)
			}
		})
	}
}

func TestWithKindLeavesItsArgumentAlone(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	out := convert.WithKind(pod, podKind())
	if pod.Kind != "" || out.GetObjectKind().GroupVersionKind() != podKind() || out.(*corev1.Pod).Name != "p" {
		t.Errorf("%+v became %+v", pod, out)
	}
	if convert.WithKind(out, podKind()) != out {
		t.Error("copied without need")
	}
}

func FuzzDecode(f *testing.F) {
	d := decoder(f)
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]}}`), uint8(0))
	f.Add([]byte("apiVersion: v1\nkind: Pod\n"), uint8(1))
	f.Add([]byte("k8s\x00\n\x09\n\x02v1\x12\x03Pod\x12\x00\x1a\x00\x22\x00"), uint8(2))
	f.Add([]byte(`{"kind":"List"}`), uint8(0))
	types := []string{convert.JSON, convert.YAML, convert.Protobuf}
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		body := convert.Body{
			Data: data, MediaType: types[int(which)%len(types)], Default: podKind(), Into: &corev1.Pod{}, Strict: which&4 != 0,
		}
		obj, _, err := d.Decode(body)
		if err != nil {
			if !apierrors.IsBadRequest(err) {
				t.Errorf("not a bad request: %v", err)
			}
			return
		}
		if _, ok := obj.(*corev1.Pod); !ok {
			t.Errorf("decoded a %T", obj)
		}
	})
}
