package builtin_test

import (
	"reflect"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
)

// counted lists the kinds whose generation counts, with a change that must raise it (nil for kinds without a simple one).
func counted() map[string]func(api.Object) {
	replicas := func(obj api.Object) {
		f := reflect.ValueOf(obj).Elem().FieldByName("Spec").FieldByName("Replicas")
		f.Set(reflect.ValueOf(new(int32(7))))
	}
	text := func(path ...string) func(api.Object) {
		return func(obj api.Object) {
			f := reflect.ValueOf(obj).Elem()
			for _, name := range path {
				f = f.FieldByName(name)
				if f.Kind() == reflect.Pointer {
					if f.IsNil() {
						f.Set(reflect.New(f.Type().Elem()))
					}
					f = f.Elem()
				}
			}
			f.SetString("changed")
		}
	}
	return map[string]func(api.Object){
		"pods":                                     text("Spec", "NodeName"),
		"podtemplates":                             text("Template", "Spec", "NodeName"),
		"replicationcontrollers":                   replicas,
		"deployments.apps":                         replicas,
		"replicasets.apps":                         replicas,
		"statefulsets.apps":                        replicas,
		"daemonsets.apps":                          text("Spec", "Template", "Spec", "NodeName"),
		"jobs.batch":                               text("Spec", "ManagedBy"),
		"cronjobs.batch":                           text("Spec", "Schedule"),
		"horizontalpodautoscalers.autoscaling":     text("Spec", "ScaleTargetRef", "Name"),
		"endpointslices.discovery.k8s.io":          text("AddressType"),
		"flowschemas.flowcontrol.apiserver.k8s.io": text("Spec", "PriorityLevelConfiguration", "Name"),
		"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": text("Spec", "Type"),
		"ingresses.networking.k8s.io":                              text("Spec", "IngressClassName"),
		"ingressclasses.networking.k8s.io":                         text("Spec", "Controller"),
		"networkpolicies.networking.k8s.io": func(o api.Object) {
			o.(*networkingv1.NetworkPolicy).Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
		},
		"poddisruptionbudgets.policy":                                    text("Spec", "UnhealthyPodEvictionPolicy"),
		"validatingadmissionpolicies.admissionregistration.k8s.io":       text("Spec", "FailurePolicy"),
		"mutatingadmissionpolicies.admissionregistration.k8s.io":         text("Spec", "FailurePolicy"),
		"validatingadmissionpolicybindings.admissionregistration.k8s.io": text("Spec", "PolicyName"),
		"mutatingadmissionpolicybindings.admissionregistration.k8s.io":   text("Spec", "PolicyName"),
		"validatingwebhookconfigurations.admissionregistration.k8s.io":   nil,
		"mutatingwebhookconfigurations.admissionregistration.k8s.io":     nil,
		"customresourcedefinitions.apiextensions.k8s.io":                 text("Spec", "Group"),
		"deviceclasses.resource.k8s.io":                                  nil,
		"devicetaintrules.resource.k8s.io":                               text("Spec", "Taint", "Key"),
		"resourceslices.resource.k8s.io":                                 text("Spec", "Driver"),
		"priorityclasses.scheduling.k8s.io":                              nil, // set once, never raised
		"csidrivers.storage.k8s.io":                                      text("Spec", "FSGroupPolicy"),
	}
}

func prepared(t *testing.T, r *api.Resource) api.Object {
	t.Helper()
	obj := r.NewStored()
	obj.SetName("a")
	obj.SetUID("u")
	if r.Strategy.Default != nil {
		r.Strategy.Default(obj)
	}
	if r.Strategy.PrepareCreate != nil {
		r.Strategy.PrepareCreate(obj)
	}
	return obj
}

func TestGeneration(t *testing.T) {
	changes := counted()
	for _, r := range newCatalogue(t).Resources() {
		if r.StoragePath == "" {
			continue
		}
		change, counts := changes[r.GroupResource().String()]
		t.Run(r.GroupResource().String(), func(t *testing.T) {
			old := prepared(t, r)
			want := int64(0)
			if counts && r.Plural != "csidrivers" { // upstream forgets to begin there
				want = 1
			}
			if got := old.GetGeneration(); got != want {
				t.Errorf("generation %d after create, want %d", got, want)
			}
			same := update(r, old, func(o api.Object) {
				o.SetGeneration(99)
				o.SetFinalizers([]string{"example.com/f"})
			})
			if got := same.GetGeneration(); got != want {
				t.Errorf("generation %d after a change of metadata, want %d", got, want)
			}
			if r.Strategy.PrepareStatus != nil {
				obj := old.DeepCopyObject().(api.Object)
				if change != nil {
					change(obj)
				}
				obj.SetGeneration(99)
				r.Strategy.PrepareStatus(obj, old)
				if got := obj.GetGeneration(); got != want {
					t.Errorf("generation %d after a write of status, want %d", got, want)
				}
			}
			if change == nil {
				return
			}
			if got := update(r, old, change).GetGeneration(); got != want+1 {
				t.Errorf("generation %d after a change of spec, want %d", got, want+1)
			}
		})
	}
}

func update(r *api.Resource, old api.Object, change func(api.Object)) api.Object {
	obj := old.DeepCopyObject().(api.Object)
	change(obj)
	if r.Strategy.PrepareUpdate != nil {
		r.Strategy.PrepareUpdate(obj, old)
	} else {
		obj.SetGeneration(old.GetGeneration())
	}
	return obj
}

func resourceOf(t *testing.T, group, plural string) *api.Resource {
	t.Helper()
	r, ok := newCatalogue(t).Resource(schema.GroupResource{Group: group, Resource: plural})
	if !ok {
		t.Fatalf("no resource %s in %q", plural, group)
	}
	return r
}

// TestGenerationAlsoCounts covers metadata that counts for some kinds.
func TestGenerationAlsoCounts(t *testing.T) {
	deployments := resourceOf(t, "apps", "deployments")
	got := update(deployments, &appsv1.Deployment{}, func(o api.Object) { o.SetAnnotations(map[string]string{"a": "b"}) })
	if got.GetGeneration() != 1 {
		t.Error("annotations of deployments count: they are copied to replica sets")
	}
	slices := resourceOf(t, "discovery.k8s.io", "endpointslices")
	got = update(slices, &discoveryv1.EndpointSlice{}, func(o api.Object) { o.SetLabels(map[string]string{"a": "b"}) })
	if got.GetGeneration() != 1 {
		t.Error("labels of endpoint slices count: they name the service")
	}
}

// TestStatusIsSeparate: a main write cannot touch the status, a status write cannot touch the spec, and neither changes the old
// object.
func TestStatusIsSeparate(t *testing.T) {
	for _, r := range newCatalogue(t).Resources() {
		if r.Strategy.PrepareStatus == nil {
			continue
		}
		t.Run(r.GroupResource().String(), func(t *testing.T) {
			old, obj := prepared(t, r), prepared(t, r)
			field := func(o api.Object, name string) reflect.Value { return reflect.ValueOf(o).Elem().FieldByName(name) }
			mark(field(obj, "Spec"))
			mark(field(obj, "Status"))
			before := old.DeepCopyObject()

			main := obj.DeepCopyObject().(api.Object)
			r.Strategy.PrepareUpdate(main, old)
			if !reflect.DeepEqual(field(main, "Status").Interface(), field(old, "Status").Interface()) {
				t.Error("a main write changed the status")
			}
			status := obj.DeepCopyObject().(api.Object)
			r.Strategy.PrepareStatus(status, old)
			if !reflect.DeepEqual(field(status, "Spec").Interface(), field(old, "Spec").Interface()) {
				t.Error("a status write changed the spec")
			}
			if !reflect.DeepEqual(before, old) {
				t.Error("the old object was changed")
			}
		})
	}
}

// mark sets the first text or number that it finds in a struct.
func mark(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		v.SetString("marked")
		return true
	case reflect.Int32, reflect.Int64:
		v.SetInt(42)
		return true
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() && mark(v.Field(i)) {
				return true
			}
		}
	default: // left as it is
	}
	return false
}

func TestJobSelector(t *testing.T) {
	job := prepared(t, resourceOf(t, "batch", "jobs")).(*batchv1.Job)
	for key, want := range map[string]string{
		"job-name": "a", "batch.kubernetes.io/job-name": "a", "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u",
	} {
		if got := job.Spec.Template.Labels[key]; got != want {
			t.Errorf("label %s is %q, want %q", key, got, want)
		}
	}
	if got := metav1.FormatLabelSelector(job.Spec.Selector); got != "batch.kubernetes.io/controller-uid=u" {
		t.Errorf("selector %s", got)
	}
}

func TestNamespaceFinalizers(t *testing.T) {
	namespaces := resourceOf(t, "", "namespaces")
	ns := prepared(t, namespaces).(*corev1.Namespace)
	if !slices.Equal(ns.Spec.Finalizers, []corev1.FinalizerName{corev1.FinalizerKubernetes}) ||
		ns.Status.Phase != corev1.NamespaceActive {
		t.Errorf("new namespace: %+v %+v", ns.Spec, ns.Status)
	}
	stripped := update(namespaces, ns, func(o api.Object) { o.(*corev1.Namespace).Spec.Finalizers = nil }).(*corev1.Namespace)
	if len(stripped.Spec.Finalizers) != 1 {
		t.Error("a main write removed the finalizer")
	}
	finalize, _ := namespaces.Subresource("finalize")
	obj := ns.DeepCopy()
	obj.Spec.Finalizers = nil
	obj.Status.Phase = "x"
	finalize.PrepareUpdate(obj, ns)
	if len(obj.Spec.Finalizers) != 0 || obj.Status.Phase != corev1.NamespaceActive {
		t.Errorf("after finalize: %+v %+v", obj.Spec, obj.Status)
	}
}

func TestMetadataIsValidated(t *testing.T) {
	for _, r := range newCatalogue(t).Resources() {
		if r.StoragePath == "" {
			continue
		}
		t.Run(r.GroupResource().String(), func(t *testing.T) {
			obj := prepared(t, r)
			obj.SetName("")
			obj.SetLabels(map[string]string{"-": "x"})
			found := map[string]bool{}
			for _, err := range r.Strategy.Validate(obj) {
				found[err.Field] = true
			}
			if !found["metadata.name"] || !found["metadata.labels"] {
				t.Errorf("an object without a name and with a bad label is accepted: %v", found)
			}
		})
	}
}
