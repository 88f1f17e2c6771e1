package upstreamtest

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/capabilities"
	"k8s.io/kubernetes/pkg/registry/certificates/certificates"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/pod"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/apitest"
	"coracle.dev/coracle/internal/api/builtin"
)

// TestScenarios lets upstream judge the writes in the scenario files of all groups. A case whose name ends in "(ours)" is one
// where the two differ on purpose.
func TestScenarios(t *testing.T) {
	capabilities.Initialize(capabilities.Capabilities{AllowPrivileged: true})
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("../*/testdata/validate/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(strings.ReplaceAll(strings.TrimPrefix(path, "../"), "/testdata/validate", ""), ".txt")
		t.Run(name, func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			cases, err := apitest.Cases(a)
			if err != nil {
				t.Fatal(err)
			}
			for i := range cases {
				t.Run(cases[i].Does+" "+cases[i].Name, func(t *testing.T) { scenario(t, c.Resources(), &cases[i]) })
			}
		})
	}
}

func scenario(t *testing.T, entries []*api.Resource, c *apitest.Case) {
	if strings.HasSuffix(c.Name, "(ours)") {
		t.Skip("differs on purpose")
	}
	r, err := c.Resource(entries)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Write(r)
	if err != nil {
		t.Fatal(err)
	}
	warnings, errs, err := c.Judge(w)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ok := judge(t, c.Does, w)
	if !ok {
		t.Skip("the strategy needs a server")
	}
	compare(t, answer(errs, func() []string { return warnings }), theirs)
}

// compare compares answers as sets: upstream finds some things twice, and walks maps in any order.
func compare(t *testing.T, ours, theirs []string) {
	t.Helper()
	for _, list := range []*[]string{&ours, &theirs} {
		*list = slices.DeleteFunc(*list, known)
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	only := func(a, b []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(a), func(l string) bool { return slices.Contains(b, l) }), "\n  ")
	}
	if !slices.Equal(ours, theirs) {
		t.Errorf("\nours alone:\n  %s\ntheirs alone:\n  %s", only(ours, theirs), only(theirs, ours))
	}
}

// known tells whether the two differ in a line on purpose.
func known(line string) bool {
	for _, part := range []string{
		// Expressions are compiled where they are used.
		"compilation failed: ERROR",
		// The allocator of services judges these.
		"spec.ipFamil", "spec.clusterIP", "spec.healthCheckNodePort",
		// How a device's capacity is shared is not judged.
		".requestPolicy",
		// Upstream adds an internal error to the proper one.
		"failed to check with dual stack", "failed to check for dual stack",
		// Upstream takes an empty value for another than an absent one.
		"binaryData: Forbidden",
		// Upstream forgets that there may be another source, and misspells one.
		"flexVolume", ".downwarAPI: ", ".downwardAPI: Forbidden: may not specify more",
		// Names are judged once; this one was never good.
		`metadata.name: Invalid value: "a": must be a valid IP address`,
		// Upstream shows whole items here.
		"sharedCounters[", "consumesCounters[", "spec.distinguisherMethod.type: Unsupported",
		// Where the old object was bad already, upstream falls back to other words.
		"limitResponse.type: Required", "spec.attacher", "opaque.driver", `handler: Invalid value: "x`,
		"spec.extendedResourceName", "spec.maxReplicas: Required",
	} {
		if strings.Contains(line, part) {
			return true
		}
	}
	return false
}

// judge lets upstream judge a write, and returns its answer in the form of the scenario files.
func judge(t *testing.T, does string, w apitest.Write) ([]string, bool) {
	s, ok := strategies()[w.Resource.Plural]
	if !ok {
		return nil, false
	}
	info := &genericapirequest.RequestInfo{
		APIGroup: w.Resource.Group, APIVersion: w.Resource.StoredVersion, Namespace: w.Obj.GetNamespace(),
		Resource: w.Resource.Plural, Name: w.Obj.GetName(), IsResourceRequest: true,
	}
	if does != apitest.Create && does != apitest.Update {
		info.Subresource = does
	}
	ctx := genericapirequest.WithNamespace(genericapirequest.WithRequestInfo(t.Context(), info), w.Obj.GetNamespace())
	obj := internal(t, w.Obj)
	if does == apitest.Create {
		return answer(rest.ValidateCreate(ctx, obj, s.main), func() []string { return s.main.WarningsOnCreate(ctx, obj) }), true
	}
	update := map[string]rest.RESTUpdateStrategy{
		apitest.Update: s.main, apitest.Status: s.status, "resize": pod.ResizeStrategy,
		"ephemeralcontainers": pod.EphemeralContainersStrategy, "approval": certificates.ApprovalStrategy,
		"finalize": namespace.FinalizeStrategy,
	}[does]
	if update == nil {
		return nil, false
	}
	old := internal(t, w.Old)
	warnings := func() []string { return nil }
	if does == apitest.Update {
		warnings = func() []string { return update.WarningsOnUpdate(ctx, obj, old) }
	}
	return answer(rest.ValidateUpdate(ctx, obj, old, update), warnings), true
}

// answer lists errors, or warnings when there are none.
func answer(errs field.ErrorList, warnings func() []string) []string {
	var out []string
	for _, err := range errs {
		out = append(out, text(err))
	}
	if len(errs) == 0 {
		for _, w := range warnings() {
			out = append(out, "warning: "+w)
		}
	}
	return out
}

// text leaves out values that are no words or numbers, and listings of differences: upstream's types print otherwise.
func text(err *field.Error) string {
	short := *err
	short.Detail, _, _ = strings.Cut(err.Detail, "\n")
	v := reflect.ValueOf(&err.BadValue).Elem()
	for v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if q, ok := v.Interface().(resource.Quantity); ok {
		v = reflect.ValueOf(q.String())
	}
	switch v.Kind() {
	case reflect.String, reflect.Int32, reflect.Int64, reflect.Int, reflect.Bool:
		short.BadValue = v.Interface()
	default:
		short.BadValue = field.OmitValueType{}
	}
	return short.Error()
}

// TestJudgement compares what is said about random writes.
func TestJudgement(t *testing.T) {
	capabilities.Initialize(capabilities.Capabilities{AllowPrivileged: true})
	each(t, func(t *testing.T, s subject) {
		obj, old := s.prepared(t), s.prepared(t)
		old.SetFinalizers(nil)
		s.compareJudgement(t, apitest.Create, apitest.Write{Resource: s.Resource, Obj: obj})
		obj.SetResourceVersion("2")
		update := obj.DeepCopyObject().(api.Object)
		if s.Strategy.PrepareUpdate != nil {
			s.Strategy.PrepareUpdate(update, old)
		}
		s.compareJudgement(t, apitest.Update, apitest.Write{Resource: s.Resource, Obj: update, Old: old})
		if s.Strategy.ValidateStatus != nil {
			s.Strategy.PrepareStatus(obj, old)
			obj.SetFinalizers(nil) // upstream judges them with some kinds' status only
			s.compareJudgement(t, apitest.Status, apitest.Write{Resource: s.Resource, Obj: obj, Old: old})
		}
	})
}

func (s subject) prepared(t *testing.T) api.Object {
	t.Helper()
	obj := s.defaulted(t)
	// Names are judged once; upstream does it again with some kinds' updates.
	obj.SetName("a")
	if s.Namespaced {
		obj.SetNamespace("b")
	}
	obj.SetGenerateName("")
	obj.SetOwnerReferences(nil)
	if set, ok := obj.(*appsv1.StatefulSet); ok && len(set.Spec.VolumeClaimTemplates) > 1 {
		set.Spec.VolumeClaimTemplates = set.Spec.VolumeClaimTemplates[:1] // upstream walks them in any order
	}
	switch obj.(type) {
	case *corev1.Event, *policyv1.PodDisruptionBudget:
		obj.SetLabels(nil) // upstream judges metadata only where all else is well
		obj.SetAnnotations(nil)
		obj.SetFinalizers(nil)
	}
	if s.Strategy.PrepareCreate != nil {
		s.Strategy.PrepareCreate(obj)
	}
	return obj
}

func (s subject) compareJudgement(t *testing.T, does string, w apitest.Write) {
	t.Helper()
	theirs, ok := judge(t, does, w)
	if !ok {
		return
	}
	c := apitest.Case{Does: does}
	warnings, errs, err := c.Judge(w)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, answer(errs, func() []string { return warnings }), theirs)
}
