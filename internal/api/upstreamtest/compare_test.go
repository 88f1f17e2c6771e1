package upstreamtest

import (
	"bytes"
	"encoding/json"
	"flag"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/controlplane" // installs every group
	"sigs.k8s.io/randfill"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/codec"
)

var rounds = flag.Int("rounds", 100, "how many random objects of each kind are compared")

// subject is one kind under comparison and a source of random objects.
type subject struct {
	*api.Resource
	set  *codec.Set
	fill *randfill.Filler
}

// each runs the comparison on every stored kind that upstream serves from the same scheme.
func each(t *testing.T, compare func(t *testing.T, s subject)) {
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	set := builtin.Codecs(c)
	for _, r := range c.Resources() {
		if r.StoragePath == "" || r.Group == "apiextensions.k8s.io" || r.Group == "apiregistration.k8s.io" {
			continue
		}
		t.Run(r.GroupResource().String(), func(t *testing.T) {
			s := subject{Resource: r, set: set, fill: filler(c.Scheme(), 7)}
			for i := 0; i < *rounds && !t.Failed(); i++ {
				compare(t, s)
			}
		})
	}
}

// random makes an object as a client might send it.
func (s subject) random(t *testing.T) api.Object {
	t.Helper()
	obj := s.NewStored()
	s.fill.Fill(obj)
	obj.SetSelfLink("")
	obj.SetManagedFields(nil)
	if obj.GetName() == "" {
		obj.SetName("a")
	}
	plausible(obj)
	obj.GetObjectKind().SetGroupVersionKind(s.StoredGVK())
	var b bytes.Buffer
	if err := s.set.JSON.Encode(obj, &b); err != nil {
		t.Fatal(err)
	}
	out, _, err := s.set.JSON.Decode(b.Bytes(), nil, s.NewStored())
	if err != nil {
		t.Fatal(err)
	}
	return out.(api.Object)
}

// defaulted makes one with our defaults.
func (s subject) defaulted(t *testing.T) api.Object {
	t.Helper()
	obj := s.random(t)
	s.setDefaults(obj)
	return obj
}

func (s subject) setDefaults(obj api.Object) {
	if s.Strategy.Default != nil {
		s.Strategy.Default(obj)
	}
}

// plausible takes out what the two sides are known to treat at different moments.
func plausible(obj api.Object) {
	switch o := obj.(type) {
	case *discoveryv1.EndpointSlice:
		for i := range o.Endpoints {
			o.Endpoints[i].DeprecatedTopology = nil // upstream needs the request's version to decide
		}
	case *batchv1.Job:
		if len(o.Labels) == 0 {
			o.Labels = map[string]string{"a": "b"} // else they are the template's, and a copy does not show that
		}
	case *corev1.Pod:
		o.Annotations = nil // AppArmor annotations
	case *resourcev1.DeviceTaintRule:
		o.Spec.Taint.TimeAdded = &o.CreationTimestamp // upstream reads the clock in its defaults
	case *resourcev1.ResourceSlice:
		for i := range o.Spec.Devices {
			for k := range o.Spec.Devices[i].Taints {
				o.Spec.Devices[i].Taints[k].TimeAdded = &o.CreationTimestamp
			}
		}
	}
}

// internal converts to upstream's internal type; external converts back and applies upstream's defaults, as a read does.
func internal(t *testing.T, obj runtime.Object) runtime.Object {
	t.Helper()
	gvks, _, err := legacyscheme.Scheme.ObjectKinds(obj)
	if err != nil {
		t.Fatal(err)
	}
	gv := schema.GroupVersion{Group: gvks[0].Group, Version: runtime.APIVersionInternal}
	out, err := legacyscheme.Scheme.ConvertToVersion(obj.DeepCopyObject(), gv)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s subject) external(t *testing.T, obj runtime.Object) runtime.Object {
	t.Helper()
	out, err := legacyscheme.Scheme.ConvertToVersion(obj.DeepCopyObject(), s.StoredGVK().GroupVersion())
	if err != nil {
		t.Fatal(err)
	}
	legacyscheme.Scheme.Default(out)
	return out
}

// read applies upstream's defaults to a copy of one of our objects, as reading it from storage would.
func read(obj api.Object) runtime.Object {
	out := obj.DeepCopyObject()
	legacyscheme.Scheme.Default(out)
	return out
}

// same compares two values as JSON, where absent and empty parts are alike.
func same(t *testing.T, what string, ours, theirs any) {
	t.Helper()
	a, b := lines(t, ours), lines(t, theirs)
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Errorf("%s differs at line %d:\nours:\n%s\ntheirs:\n%s", what, i, around(a, i), around(b, i))
			return
		}
	}
}

func around(lines []string, i int) string {
	return strings.Join(lines[min(max(i-6, 0), len(lines)):min(i+4, len(lines))], "\n")
}

func lines(t *testing.T, v any) []string {
	t.Helper()
	if d, ok := v.(*appsv1.DaemonSet); ok && d.Annotations[appsv1.DeprecatedTemplateGeneration] == "0" {
		delete(d.Annotations, appsv1.DeprecatedTemplateGeneration) // upstream's conversion writes it before it is set
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	prune(tree)
	data, err = json.MarshalIndent(tree, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(data), "\n")
}

func prune(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			prune(value)
			if m, ok := value.(map[string]any); ok && len(m) == 0 {
				delete(v, key)
			}
		}
	case []any:
		for _, value := range v {
			prune(value)
		}
	}
}
