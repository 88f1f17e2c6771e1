package upstreamtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	apicore "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/helper/qos"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"
	"k8s.io/kubernetes/pkg/registry/core/pod"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/core"
)

func TestDefaults(t *testing.T) {
	each(t, func(t *testing.T, s subject) {
		ours := s.random(t)
		theirs := ours.DeepCopyObject()
		s.setDefaults(ours)
		legacyscheme.Scheme.Default(theirs)
		same(t, "the object with defaults", ours, s.external(t, internal(t, theirs)))
	})
}

func TestRows(t *testing.T) {
	generator := printers.NewTableGenerator().With(printersinternal.AddHandlers)
	each(t, func(t *testing.T, s subject) {
		obj := s.defaulted(t)
		table, err := generator.GenerateTable(internal(t, obj), printers.GenerateOptions{Wide: true})
		if err != nil {
			t.Skip("upstream has no table of its own: ", err)
		}
		same(t, "columns", columns(s.Table.Columns), columns(table.ColumnDefinitions))
		// Addresses have a cell more than columns upstream.
		cells := table.Rows[0].Cells[:len(table.ColumnDefinitions)]
		same(t, "row", s.Table.Row(obj, time.Now()), cells)
	})
}

func columns(list []metav1.TableColumnDefinition) []string {
	var out []string
	for _, c := range list {
		out = append(out, fmt.Sprint(c.Name, " ", c.Type, " ", c.Format, " ", c.Priority))
	}
	return out
}

func TestCreate(t *testing.T) {
	each(t, func(t *testing.T, s subject) {
		theirs, ok := strategies()[s.Plural]
		if !ok {
			t.Skip("the strategy needs a server")
		}
		main := theirs.main
		if main.AllowCreateOnUpdate(t.Context()) != s.Strategy.AllowCreateOnUpdate ||
			main.AllowUnconditionalUpdate(t.Context()) != s.Strategy.AllowUnconditionalUpdate ||
			main.NamespaceScoped() != s.Namespaced {
			t.Error("what an update may do, or the scope, differs")
		}
		obj := s.defaulted(t)
		in := internal(t, obj)
		main.PrepareForCreate(t.Context(), in)
		main.Canonicalize(in)
		if s.Strategy.PrepareCreate != nil {
			s.Strategy.PrepareCreate(obj)
		}
		s.stamp(obj, nil)
		same(t, "the new object", read(obj), s.external(t, in))
	})
}

func (s subject) stamp(obj, old api.Object) {
	if s.Strategy.Stamp != nil {
		s.Strategy.Stamp(obj, old, time.Now())
	}
}

func TestUpdate(t *testing.T) {
	each(t, func(t *testing.T, s subject) {
		theirs, ok := strategies()[s.Plural]
		if !ok {
			t.Skip("the strategy needs a server")
		}
		old := s.defaulted(t)
		s.compareUpdate(t, "a changed object", s.defaulted(t), old, theirs.main, s.Strategy.PrepareUpdate)
		s.compareUpdate(t, "the same object", old.DeepCopyObject().(api.Object), old, theirs.main, s.Strategy.PrepareUpdate)
	})
}

func TestStatus(t *testing.T) {
	each(t, func(t *testing.T, s subject) {
		theirs, ok := strategies()[s.Plural]
		if !ok || theirs.status == nil {
			t.Skip("no status strategy that needs no server")
		}
		s.compareUpdate(t, "status", s.defaulted(t), s.defaulted(t), theirs.status, s.Strategy.PrepareStatus)
	})
}

func (s subject) compareUpdate(
	t *testing.T, what string, obj, old api.Object, theirs rest.RESTUpdateStrategy, ours func(obj, old api.Object),
) {
	t.Helper()
	in, inOld := internal(t, obj), internal(t, old)
	in.(metav1.ObjectMetaAccessor).GetObjectMeta().SetGeneration(old.GetGeneration())
	theirs.PrepareForUpdate(t.Context(), in, inOld)
	theirs.Canonicalize(in)

	before := old.DeepCopyObject()
	if ours != nil {
		ours(obj, old)
	} else {
		obj.SetGeneration(old.GetGeneration())
	}
	if what == "status" || s.Plural != "persistentvolumes" {
		s.stamp(obj, old)
	}
	same(t, "the old object after "+what, old, before)
	same(t, what, read(obj), s.external(t, in))
}

// TestPods compares what only pods have.
func TestPods(t *testing.T) {
	each(t, func(t *testing.T, s subject) {
		if s.Plural != "pods" {
			t.SkipNow()
		}
		p := s.defaulted(t).(*corev1.Pod)
		in := internal(t, p).(*apicore.Pod)
		if ours, theirs := core.ComputeQOSClass(p), qos.ComputePodQOS(in); string(ours) != string(theirs) {
			t.Errorf("class %s, upstream %s", ours, theirs)
		}
		for _, asked := range []*int64{nil, new(int64(-1)), new(int64(0)), new(int64(5))} {
			o := &metav1.DeleteOptions{GracePeriodSeconds: asked}
			pod.Strategy.CheckGracefulDelete(t.Context(), in, o)
			if got := s.Strategy.GracePeriod(p, asked); got != *o.GracePeriodSeconds {
				t.Errorf("grace %d, upstream %d", got, *o.GracePeriodSeconds)
			}
		}
		ours := s.SelectableFields(p)
		for key, value := range pod.ToSelectableFields(in) {
			if ours[key] != value {
				t.Errorf("field %s is %q, upstream %q", key, ours[key], value)
			}
		}
		for name, theirs := range map[string]rest.RESTUpdateStrategy{
			"ephemeralcontainers": pod.EphemeralContainersStrategy, "resize": pod.ResizeStrategy,
		} {
			sub, _ := s.Subresource(name)
			s.compareUpdate(t, name, s.defaulted(t), p, theirs, sub.PrepareUpdate)
			resized := p.DeepCopy()
			for i := range resized.Spec.Containers {
				resized.Spec.Containers[i].Resources = corev1.ResourceRequirements{}
			}
			s.compareUpdate(t, name, resized, p, theirs, sub.PrepareUpdate)
		}
	})
}

// TestKindsAreUpstreams: every kind that is compared exists upstream under the same name.
func TestKindsAreUpstreams(t *testing.T) {
	each(t, func(t *testing.T, s subject) {
		gvks, _, err := legacyscheme.Scheme.ObjectKinds(s.NewStored())
		if err != nil || !slices.Contains(gvks, s.StoredGVK()) {
			t.Fatalf("upstream knows %v (%v)", gvks, err)
		}
	})
}
