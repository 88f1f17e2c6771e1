package codec_test

import (
	"bytes"
	"math/rand"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/codec"
)

// rounds is how many random objects each kind is tried with.
const rounds = 8

func filler(scheme *runtime.Scheme, seed int64) *randfill.Filler {
	own := func(serializer.CodecFactory) []any {
		return []any{
			func(q *resource.Quantity, c randfill.Continue) {
				*q = *resource.NewMilliQuantity(c.Int63n(1e12), resource.DecimalSI)
			},
			func(v *intstr.IntOrString, c randfill.Continue) {
				if c.Bool() {
					*v = intstr.FromInt32(c.Int31())
				} else {
					*v = intstr.FromString(c.String(10))
				}
			},
			func(r *runtime.RawExtension, _ randfill.Continue) { r.Raw = []byte(`{"a":1}`) },
			func(j *apiextensionsv1.JSON, _ randfill.Continue) { j.Raw = []byte(`{"a":1}`) },
		}
	}
	funcs := fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, own)
	return fuzzer.FuzzerFor(funcs, rand.NewSource(seed), serializer.NewCodecFactory(scheme)).
		NumElements(0, 3).MaxDepth(12)
}

// random fills an object of the stored type as it could be in memory: with its kind, without fields that are never stored, as
// exact as JSON is, and with defaults applied.
func random(t *testing.T, set *codec.Set, f *randfill.Filler, r *api.Resource) api.Object {
	t.Helper()
	obj := r.NewStored()
	f.Fill(obj)
	obj.SetSelfLink("")
	obj.GetObjectKind().SetGroupVersionKind(r.StoredGVK())
	obj.SetResourceVersion("42")
	obj = normal(t, set, r, obj)
	applyDefaults(r, obj)
	return normal(t, set, r, obj)
}

func applyDefaults(r *api.Resource, obj runtime.Object) {
	if r.Strategy.Default != nil {
		r.Strategy.Default(obj.(api.Object))
	}
}

// normal passes an object through JSON, which is what makes empty and absent parts the same.
func normal(t *testing.T, set *codec.Set, r *api.Resource, obj api.Object) api.Object {
	t.Helper()
	var b bytes.Buffer
	if err := set.JSON.Encode(obj, &b); err != nil {
		t.Fatalf("JSON: %v", err)
	}
	out, _, err := set.JSON.Decode(b.Bytes(), nil, r.NewStored())
	if err != nil {
		t.Fatalf("JSON: %v", err)
	}
	return out.(api.Object)
}

func stored(t *testing.T, visit func(t *testing.T, c *api.Catalogue, r *api.Resource, f *randfill.Filler)) {
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	f := filler(c.Scheme(), 1)
	for _, r := range c.Resources() {
		if r.StoragePath == "" {
			continue
		}
		t.Run(r.GroupResource().String(), func(t *testing.T) {
			for range rounds {
				visit(t, c, r, f)
			}
		})
	}
}

func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if !equality.Semantic.DeepEqual(want, got) {
		t.Fatalf("%s:\n%s", what, diff.Diff(want, got))
	}
}

func TestStorageRoundTrip(t *testing.T) {
	stored(t, func(t *testing.T, c *api.Catalogue, r *api.Resource, f *randfill.Filler) {
		set := codec.New(c.Scheme())
		obj := random(t, set, f, r)
		before := obj.DeepCopyObject()
		st := codec.StorageCodec(r)
		data, err := st.Encode(obj)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "encoding changed the object", before, obj)
		got, err := st.Decode("key", data, 42)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "after storage", obj, normal(t, set, r, got.(api.Object)))
	})
}

func TestWireRoundTrip(t *testing.T) {
	stored(t, func(t *testing.T, c *api.Catalogue, r *api.Resource, f *randfill.Filler) {
		set := codec.New(c.Scheme())
		obj := random(t, set, f, r)
		for name, s := range map[string]runtime.Serializer{
			"strict JSON": set.StrictJSON, "YAML": set.YAML, "strict YAML": set.StrictYAML, "protobuf": set.Protobuf,
		} {
			var b bytes.Buffer
			if err := s.Encode(obj, &b); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, gvk, err := s.Decode(b.Bytes(), nil, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if *gvk != r.StoredGVK() {
				t.Fatalf("%s: read a %s", name, gvk)
			}
			got.GetObjectKind().SetGroupVersionKind(r.StoredGVK())
			applyDefaults(r, got) // protobuf loses the kind of claim templates, which defaults restore
			equal(t, "after "+name, obj, normal(t, set, r, got.(api.Object)))
		}
	})
}

// TestDefaultsSettle: defaults applied twice are defaults applied once, or else reading an object would change it.
func TestDefaultsSettle(t *testing.T) {
	stored(t, func(t *testing.T, c *api.Catalogue, r *api.Resource, f *randfill.Filler) {
		if r.Strategy.Default == nil {
			return
		}
		set := codec.New(c.Scheme())
		once := random(t, set, f, r)
		twice := once.DeepCopyObject().(api.Object)
		applyDefaults(r, twice)
		equal(t, "defaults of defaults", once, normal(t, set, r, twice))
	})
}

// TestOtherVersionsRoundTrip: what a client of another version reads and writes back loses nothing.
func TestOtherVersionsRoundTrip(t *testing.T) {
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	f := filler(c.Scheme(), 2)
	set := codec.New(c.Scheme())
	for _, r := range c.Resources() {
		owner := r
		if !r.StoredAs.Empty() {
			owner, _ = c.Resource(r.StoredAs)
		}
		for _, v := range r.Versions {
			if v.ToStored == nil {
				continue
			}
			t.Run(r.GVK(v.Name).String(), func(t *testing.T) {
				for range rounds {
					obj := fillPlausible(t, set, f, owner)
					before := obj.DeepCopyObject()
					other, err := v.FromStored(obj)
					if err != nil {
						t.Fatal(err)
					}
					equal(t, "conversion changed its argument", before, obj)
					if got := other.GetObjectKind().GroupVersionKind(); got != r.GVK(v.Name) {
						t.Fatalf("converted to a %s", got)
					}
					back, err := v.ToStored(other)
					if err != nil {
						t.Fatal(err)
					}
					equal(t, "there and back", normal(t, set, owner, obj), normal(t, set, owner, back))
				}
			})
		}
	}
}

// fillPlausible makes an object whose parts agree with each other as validation demands, so that conversions can rely on it.
func fillPlausible(t *testing.T, set *codec.Set, f *randfill.Filler, r *api.Resource) api.Object {
	t.Helper()
	obj := random(t, set, f, r)
	if hpa, ok := obj.(hpaObject); ok {
		plausibleMetrics(hpa)
	}
	return obj
}

func TestDecodeRefusesOtherKinds(t *testing.T) {
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	pods, _ := c.Resource(schema.GroupResource{Resource: "pods"})
	secrets, _ := c.Resource(schema.GroupResource{Resource: "secrets"})
	data, err := codec.StorageCodec(secrets).Encode(secrets.NewStored())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"a secret":            data,
		"another version":     []byte(`{"apiVersion":"v9","kind":"Pod"}`),
		"no kind":             []byte(`{}`),
		"nothing":             nil,
		"half an envelope":    []byte("k8s\x00\x0a\xff"),
		"text":                []byte("pod"),
		"the envelope alone":  []byte("k8s\x00"),
		"a list in an object": []byte(`[]`),
	} {
		if obj, err := codec.StorageCodec(pods).Decode("key", data, 1); err == nil {
			t.Errorf("%s was read as %v", name, obj)
		}
	}
}

// TestFormerStorageVersions: values that upstream stores in a beta version are read as the served one.
func TestFormerStorageVersions(t *testing.T) {
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	for gvr, data := range map[schema.GroupVersionResource]string{
		{Group: "certificates.k8s.io", Version: "v1beta1", Resource: "clustertrustbundles"}:          "ClusterTrustBundle",
		{Group: "certificates.k8s.io", Version: "v1beta1", Resource: "podcertificaterequests"}:       "PodCertificateRequest",
		{Group: "storagemigration.k8s.io", Version: "v1beta1", Resource: "storageversionmigrations"}: "StorageVersionMigration",
		{Group: "resource.k8s.io", Version: "v1beta2", Resource: "devicetaintrules"}:                 "DeviceTaintRule",
		{Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"}:                  "HorizontalPodAutoscaler",
	} {
		r, _ := c.Resource(gvr.GroupResource())
		raw := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: gvr.GroupVersion().String(), Kind: data}}
		value, err := raw.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.StorageCodec(r).Decode("key", append([]byte("k8s\x00"), value...), 1)
		if err != nil {
			t.Errorf("%s: %v", gvr, err)
			continue
		}
		if gvk := got.(runtime.Object).GetObjectKind().GroupVersionKind(); gvk != r.StoredGVK() {
			t.Errorf("%s was read as %s", gvr, gvk)
		}
	}
}

// FuzzDecode: whatever is in etcd, reading it must not panic, and what is read can be written.
func FuzzDecode(f *testing.F) {
	c, err := builtin.New()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"image":"a:b@c"}]}}`))
	f.Add([]byte("k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x00\x1a\x00\x22\x00"))
	f.Add([]byte(`{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler"}`))
	pods, _ := c.Resource(schema.GroupResource{Resource: "pods"})
	hpas, _ := c.Resource(schema.GroupResource{Group: autoscalingv1.GroupName, Resource: "horizontalpodautoscalers"})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range []*api.Resource{pods, hpas} {
			st := codec.StorageCodec(r)
			obj, err := st.Decode("key", data, 1)
			if err != nil {
				continue
			}
			if obj.(metav1.Object).GetResourceVersion() != "1" {
				t.Error("no resource version")
			}
			if _, err := st.Encode(obj); err != nil {
				t.Errorf("read but not written: %v", err)
			}
		}
	})
}
