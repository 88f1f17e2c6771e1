package builtin_test

import (
	"math/rand"
	"reflect"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/randfill"

	"coracle.dev/coracle/internal/api"
)

// FuzzJudgement makes random objects of all kinds and has every write of them judged: nothing that a client sends may crash the
// server, and judging changes nothing, since what is stored is shared.
func FuzzJudgement(f *testing.F) {
	for seed := range int64(12) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		fill := filler(seed)
		for _, r := range newCatalogue(t).Resources() {
			for i := range r.Versions {
				judgeRandom(t, r, &r.Versions[i], fill)
			}
		}
	})
}

// filler makes much absent: deep objects would be rare otherwise, and absent parts are what crashes.
func filler(seed int64) *randfill.Filler {
	fill := randfill.New().RandSource(rand.NewSource(seed)).NilChance(0.4).NumElements(0, 2).MaxDepth(20)
	pick := func(c randfill.Continue, words ...string) string { return words[c.Intn(len(words))] }
	return fill.Funcs(
		func(s *string, c randfill.Continue) {
			*s = pick(c, "", "a", "A b", "1-2", "10.0.0.1", "50%", "a/b/c", "@daily", "\x00")
		},
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewMilliQuantity(c.Int63()-c.Int63(), resource.DecimalSI)
		},
		func(v *intstr.IntOrString, c randfill.Continue) {
			*v = intstr.IntOrString{Type: intstr.Type(c.Intn(3)), IntVal: c.Int31() - c.Int31(), StrVal: pick(c, "", "a", "200%")}
		},
		func(t *metav1.Time, c randfill.Continue) { t.Time = time.Unix(c.Int63n(1e9), 0) },
		func(t *metav1.MicroTime, c randfill.Continue) { t.Time = time.Unix(c.Int63n(1e9), 0) },
		func(f *metav1.FieldsV1, _ randfill.Continue) { f.SetRawString("{}") },
		func(r *runtime.RawExtension, c randfill.Continue) { r.Raw = []byte(pick(c, "", "{}", "null", "x")) },
	)
}

// randomObject makes an object as a client of the version sends it, in its stored form; nil when it has none.
func randomObject(v *api.Version, fill *randfill.Filler) api.Object {
	in := v.New()
	fill.Fill(in)
	if v.ToStored == nil {
		return in.(api.Object)
	}
	out, err := v.ToStored(in)
	if err != nil {
		return nil
	}
	return out.DeepCopyObject().(api.Object)
}

func judgeRandom(t *testing.T, r *api.Resource, v *api.Version, fill *randfill.Filler) {
	t.Helper()
	s := &r.Strategy
	obj, old := randomObject(v, fill), randomObject(v, fill)
	if obj == nil || old == nil {
		return
	}
	// Objects come without defaults as well: some are read from another program's store.
	judgeCreate(s, s.Default, obj.DeepCopyObject().(api.Object))
	judgeCreate(s, nil, obj.DeepCopyObject().(api.Object))
	judgeUpdate(t, s.Default, s.PrepareUpdate, s.ValidateUpdate, s.Warnings, obj, old)
	judgeUpdate(t, nil, nil, s.ValidateUpdate, s.Warnings, obj, old)
	judgeUpdate(t, s.Default, s.PrepareStatus, s.ValidateStatus, nil, obj, old)
	judgeUpdate(t, nil, nil, s.ValidateStatus, nil, obj, old)
	for i := range r.Subresources {
		sub := &r.Subresources[i]
		judgeUpdate(t, s.Default, sub.PrepareUpdate, sub.ValidateUpdate, nil, obj, old)
	}
}

func judgeCreate(s *api.Strategy, defaults func(api.Object), obj api.Object) {
	if defaults != nil {
		defaults(obj)
	}
	if s.PrepareCreate != nil {
		s.PrepareCreate(obj)
	}
	if s.Validate != nil && len(s.Validate(obj)) == 0 && s.Warnings != nil {
		s.Warnings(obj, nil)
	}
}

func judgeUpdate(
	t *testing.T, defaults func(api.Object), prepare func(obj, old api.Object),
	validate func(obj, old api.Object) field.ErrorList, warn func(obj, old api.Object) []string, obj, old api.Object,
) {
	t.Helper()
	obj = obj.DeepCopyObject().(api.Object)
	if defaults != nil {
		defaults(obj)
	}
	if prepare != nil {
		prepare(obj, old)
	}
	before, was := obj.DeepCopyObject(), old.DeepCopyObject()
	if validate != nil && len(validate(obj, old)) == 0 && warn != nil {
		warn(obj, old)
	}
	// Quantities remember how they are written once they have been; what is stored must not even do that.
	if !equality.Semantic.DeepEqual(obj, before) || !reflect.DeepEqual(old, was) {
		t.Errorf("judging a %T changed it", obj)
	}
}
