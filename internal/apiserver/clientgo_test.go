package apiserver_test

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"coracle.dev/coracle/internal/apiserver/servertest"
)

// clientset is an unmodified client-go against a whole server.
func clientset(t *testing.T, protobuf bool) (*kubernetes.Clientset, *servertest.Running) {
	t.Helper()
	server := servertest.Start(t, servertest.Config(t))
	cfg := server.RESTConfig()
	if protobuf {
		cfg.ContentType = "application/vnd.kubernetes.protobuf"
	}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, server
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

func TestClientGo(t *testing.T) {
	for _, protobuf := range []bool{false, true} {
		name := map[bool]string{false: "json", true: "protobuf"}[protobuf]
		t.Run(name, func(t *testing.T) {
			c, _ := clientset(t, protobuf)
			testCRUD(t, c)
			testApply(t, c)
			testScale(t, c)
			testWatch(t, c)
		})
	}
}

func testCRUD(t *testing.T, c *kubernetes.Clientset) {
	t.Helper()
	ctx := t.Context()
	maps := c.CoreV1().ConfigMaps("default")
	made, err := maps.Create(ctx, configMap("one", map[string]string{"a": "1"}), metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() || len(made.ManagedFields) != 1 {
		t.Errorf("created object lacks metadata: %+v", made.ObjectMeta)
	}
	if _, err := maps.Create(ctx, configMap("one", nil), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("second create: %v", err)
	}
	got, err := maps.Get(ctx, "one", metav1.GetOptions{})
	if err != nil || got.Data["a"] != "1" || got.ResourceVersion != made.ResourceVersion {
		t.Errorf("get: %v %+v", err, got)
	}
	got.Data["a"] = "2"
	updated, err := maps.Update(ctx, got, metav1.UpdateOptions{})
	if err != nil || updated.Data["a"] != "2" || updated.ResourceVersion == made.ResourceVersion {
		t.Fatalf("update: %v %+v", err, updated)
	}
	same, err := maps.Update(ctx, updated, metav1.UpdateOptions{})
	if err != nil || same.ResourceVersion != updated.ResourceVersion {
		t.Errorf("an update that changes nothing: %v, revision %s, was %s", err, same.ResourceVersion, updated.ResourceVersion)
	}
	got.Data["a"] = "3"
	if _, err := maps.Update(ctx, got, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("stale update: %v", err)
	}
	patched, err := maps.Patch(ctx, "one", types.StrategicMergePatchType, []byte(`{"data":{"b":"x"}}`), metav1.PatchOptions{})
	if err != nil || patched.Data["a"] != "2" || patched.Data["b"] != "x" {
		t.Errorf("strategic patch: %v %+v", err, patched)
	}
	patched, err = maps.Patch(ctx, "one", types.JSONPatchType, []byte(`[{"op":"remove","path":"/data/b"}]`), metav1.PatchOptions{})
	if err != nil || len(patched.Data) != 1 {
		t.Errorf("JSON patch: %v %+v", err, patched)
	}
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.ResourceVersion == "" {
		t.Errorf("list: %v %+v", err, list)
	}
	if err := maps.Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := maps.Get(ctx, "one", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get after delete: %v", err)
	}
}

func testApply(t *testing.T, c *kubernetes.Clientset) {
	t.Helper()
	ctx := t.Context()
	maps := c.CoreV1().ConfigMaps("default")
	want := applycorev1.ConfigMap("applied", "default").WithData(map[string]string{"k": "v"})
	if _, err := maps.Apply(ctx, want, metav1.ApplyOptions{FieldManager: "a"}); err != nil {
		t.Fatalf("apply: %v", err)
	}
	other := applycorev1.ConfigMap("applied", "default").WithData(map[string]string{"k": "w"})
	_, err := maps.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "b"})
	if !apierrors.IsConflict(err) {
		t.Fatalf("apply over another manager's field: %v", err)
	}
	if _, err := maps.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "b", Force: true}); err != nil {
		t.Fatalf("forced apply: %v", err)
	}
}

func testScale(t *testing.T, c *kubernetes.Clientset) {
	t.Helper()
	ctx := t.Context()
	replicas := int32(2)
	labels := map[string]string{"app": "web"}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			},
		},
	}
	deployments := c.AppsV1().Deployments("default")
	if _, err := deployments.Create(ctx, d, metav1.CreateOptions{}); err != nil {
		t.Fatalf("create deployment: %v", err)
	}
	scale, err := deployments.GetScale(ctx, "web", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 2 {
		t.Fatalf("scale: %v %+v", err, scale)
	}
	scale.Spec.Replicas = 5
	if scale, err = deployments.UpdateScale(ctx, "web", scale, metav1.UpdateOptions{}); err != nil || scale.Spec.Replicas != 5 {
		t.Fatalf("scaling: %v %+v", err, scale)
	}
	bad := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: autoscalingv1.ScaleSpec{Replicas: -1}}
	if _, err := deployments.UpdateScale(ctx, "web", bad, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("negative scale: %v", err)
	}
	got, err := deployments.Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got.Status.ReadyReplicas, got.Status.Replicas = 1, 1
	got.Spec.Replicas = nil
	if got, err = deployments.UpdateStatus(ctx, got, metav1.UpdateOptions{}); err != nil {
		t.Fatalf("status: %v", err)
	}
	if got.Status.ReadyReplicas != 1 || *got.Spec.Replicas != 5 {
		t.Errorf("a status write changed the wrong things: %+v", got)
	}
}

func testWatch(t *testing.T, c *kubernetes.Clientset) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	maps := c.CoreV1().ConfigMaps("default")
	w, err := maps.Watch(ctx, metav1.ListOptions{LabelSelector: "in=yes"})
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	defer w.Stop()
	cm := configMap("watched", nil)
	if cm, err = maps.Create(ctx, cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"yes", "yes", "no"} {
		cm.Labels = map[string]string{"in": value}
		cm.Data = map[string]string{"n": cm.ResourceVersion}
		if cm, err = maps.Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
		ev, ok := <-w.ResultChan()
		if !ok || ev.Type != want {
			t.Fatalf("got %v, want %v", ev, want)
		}
		got := ev.Object.(*corev1.ConfigMap).ResourceVersion
		if want == watch.Deleted && got != cm.ResourceVersion {
			t.Errorf("the deletion has revision %s, not that of the write, %s", got, cm.ResourceVersion)
		}
	}
}

func TestInformer(t *testing.T) {
	c, _ := clientset(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	maps := c.CoreV1().ConfigMaps("default")
	for _, name := range []string{"a", "b"} {
		if _, err := maps.Create(ctx, configMap(name, nil), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	factory := informers.NewSharedInformerFactory(c, 0)
	informer := factory.Core().V1().ConfigMaps().Informer()
	seen := make(chan string, 10)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { seen <- "add " + obj.(*corev1.ConfigMap).Name },
		UpdateFunc: func(_, obj any) { seen <- "update " + obj.(*corev1.ConfigMap).Name },
		DeleteFunc: func(obj any) { seen <- "delete " + obj.(*corev1.ConfigMap).Name },
	})
	if err != nil {
		t.Fatal(err)
	}
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("informer did not sync")
	}
	got, err := maps.Get(ctx, "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got.Data = map[string]string{"x": "y"}
	if _, err := maps.Update(ctx, got, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(ctx, "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"add a": true, "add b": true, "update a": true, "delete b": true}
	for len(want) > 0 {
		select {
		case got := <-seen:
			if !want[got] {
				t.Errorf("unexpected event %q", got)
			}
			delete(want, got)
		case <-ctx.Done():
			t.Fatalf("still waiting for %v", want)
		}
	}
}
