package codec_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/codec"
)

func TestStorageLeavesSharedObjectAlone(t *testing.T) {
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	res, ok := c.Resource(schema.GroupResource{Resource: "pods"})
	if !ok {
		t.Fatal("no pods")
	}
	st := codec.StorageCodec(res)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "b", ResourceVersion: "7", SelfLink: "/x"}}
	data, err := st.Encode(pod)
	if err != nil {
		t.Fatal(err)
	}
	if pod.ResourceVersion != "7" || pod.SelfLink != "/x" || pod.Kind != "" {
		t.Errorf("encoding changed its argument: %+v", pod)
	}
	if string(data[:4]) != "k8s\x00" {
		t.Errorf("not in the protobuf envelope: %q", data)
	}
	got, err := st.Decode("/registry/pods/b/a", data, 42)
	if err != nil {
		t.Fatal(err)
	}
	p := got.(*corev1.Pod)
	if p.ResourceVersion != "42" || p.SelfLink != "" || p.Kind != "Pod" || p.APIVersion != "v1" || p.Name != "a" {
		t.Errorf("decoded metadata is wrong: %+v", p)
	}
}
