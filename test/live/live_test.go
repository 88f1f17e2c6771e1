package live

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver"
	"coracle.dev/coracle/internal/apiserver/admission"
	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/bootstrap"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/local"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/servertest"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/controllers"
	"coracle.dev/coracle/internal/controllers/nodeipam"
	"coracle.dev/coracle/internal/reconcile"
)

type cluster struct {
	client.Interface
	t   *testing.T
	ctx context.Context
}

// start runs a server with further admission plugins, all controllers and a node.
func start(t *testing.T, further ...admission.Plugin) *cluster {
	t.Helper()
	cfg := servertest.Config(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	secure(t, ctx, &cfg)
	cfg.Admission = append(cfg.Admission, further...)
	server := servertest.Start(t, cfg)
	list, err := controllers.All(controllers.Config{
		RootCA: []byte("CERTIFICATE"), PodRanges: []nodeipam.Range{{Prefix: netip.MustParsePrefix("10.42.0.0/16"), NodeBits: 24}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var roles []api.Object
	for _, r := range reconcile.Roles(list...) {
		roles = append(roles, r.Role, r.Binding)
	}
	if err := bootstrap.Ensure(ctx, server.Admin(), roles); err != nil {
		t.Fatal(err)
	}
	engine, err := reconcile.New(reconcile.Config{
		Client: func(name string) client.Interface {
			return server.Local(request.User{
				Name:   request.ServiceAccountPrefix + "kube-system:" + name,
				Groups: []string{request.GroupServiceAccounts, request.GroupAuthenticated},
			})
		},
		Rand:   rand.Float64,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, list...)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Interface: server.Admin(), t: t, ctx: ctx}
	done := make(chan error, 2)
	go func() { done <- engine.Run(ctx) }()
	go func() { done <- c.node() }()
	t.Cleanup(func() {
		cancel()
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	c.write(reconcile.Creating(kinds.Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}))
	c.write(reconcile.Creating(kinds.Nodes(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}))
	until(c, kinds.ServiceAccounts(), "the default account", func(s client.Snapshot) bool {
		_, ok := s.Get("shop", "default")
		return ok
	})
	return c
}

// secure lets every caller do only what its roles say, and switches admission on.
func secure(t *testing.T, ctx context.Context, cfg *apiserver.Config) {
	t.Helper()
	plain, err := chain.New(chain.Config{
		Store: cfg.Store, Catalogue: cfg.Catalogue, Codec: cfg.Codec, Now: cfg.Now, Rand: cfg.Rand,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	reader := local.New(plain, request.User{Name: "system:apiserver", Groups: []string{request.GroupMasters}}, nil)
	rbac, err := authz.NewRBAC(reader)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- rbac.Run(ctx) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	cfg.Authorizer = authz.New(nil, rbac)
	cfg.Admission = admission.Default(admission.Config{Objects: lookup.New(reader), Authorizer: cfg.Authorizer, RBAC: rbac})
}

func (c *cluster) write(w reconcile.Write) api.Object {
	c.t.Helper()
	stored, err := c.Write(c.ctx, w.Write)
	if err != nil {
		c.t.Fatalf("%s %s %s: %v", w.Verb, w.Resource, w.Name, err)
	}
	obj, _ := stored.(api.Object)
	return obj
}

// until waits until the resource is as wanted.
func until(c *cluster, gr schema.GroupResource, what string, wanted func(client.Snapshot) bool) {
	c.t.Helper()
	cache, err := c.Cache(client.Selection{Resource: gr})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cache.Sync(c.ctx); err != nil {
		c.t.Fatal(err)
	}
	snapshot, stream := cache.Follow()
	defer stream.Close()
	for !wanted(snapshot) {
		if _, err := stream.Next(c.ctx); err != nil {
			for obj := range cache.Snapshot().All("") {
				c.t.Logf("%s %s/%s: %+v", gr, obj.GetNamespace(), obj.GetName(), obj)
			}
			c.t.Fatalf("waiting for %s: %v", what, err)
		}
		snapshot = cache.Snapshot()
	}
}

// node assigns, runs and ends pods as fast as it can. Pods of jobs succeed at once.
func (c *cluster) node() error {
	cache, err := c.Cache(client.Selection{Resource: kinds.Pods()})
	if err != nil {
		return err
	}
	snapshot, stream := cache.Follow()
	defer stream.Close()
	var pods []api.Object
	for obj := range snapshot.All("") {
		pods = append(pods, obj)
	}
	for {
		for _, obj := range pods {
			if pod, ok := obj.(*corev1.Pod); ok {
				if err := c.step(pod); err != nil && c.ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
					return err
				}
			}
		}
		events, err := stream.Next(c.ctx)
		if err != nil {
			return nil //nolint:nilerr // the test is over
		}
		pods = nil
		for _, ev := range events {
			if ev.Type != client.Deleted {
				pods = append(pods, ev.Object)
			}
		}
	}
}

func (c *cluster) step(pod *corev1.Pod) error {
	status := pod.DeepCopy()
	condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}
	switch {
	case pod.Spec.NodeName == "":
		_, err := c.Write(c.ctx, client.Write{
			Verb: client.Create, Resource: kinds.Pods(), Subresource: "binding", Namespace: pod.Namespace, Name: pod.Name,
			Object: &corev1.Binding{
				ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
				Target:     corev1.ObjectReference{Kind: "Node", Name: "n1"},
			},
		})
		return err
	case pod.DeletionTimestamp != nil:
		now := int64(0)
		_, err := c.Write(c.ctx, client.Write{
			Verb: client.Delete, Resource: kinds.Pods(), Namespace: pod.Namespace, Name: pod.Name,
			Delete: metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}},
		})
		return err
	case pod.Status.Phase == corev1.PodPending:
		status.Status.Phase = corev1.PodRunning
		status.Status.PodIP, status.Status.PodIPs = "10.42.0.5", []corev1.PodIP{{IP: "10.42.0.5"}}
		if ref := metav1.GetControllerOf(pod); ref != nil && ref.Kind == "Job" {
			status.Status.Phase, condition.Status = corev1.PodSucceeded, corev1.ConditionFalse
		}
		status.Status.Conditions = append(status.Status.Conditions, condition)
	default:
		return nil
	}
	_, err := c.Write(c.ctx, reconcile.UpdatingStatus(kinds.Pods(), status).Write)
	return err
}

func web(replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
			},
		},
	}
}

func available(n int32, revision string) func(client.Snapshot) bool {
	return func(s client.Snapshot) bool {
		obj, _ := s.Get("shop", "web")
		d, ok := obj.(*appsv1.Deployment)
		return ok && d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == n &&
			d.Status.AvailableReplicas == n && d.Status.Replicas == n && d.Annotations["deployment.kubernetes.io/revision"] == revision
	}
}

func gone(namespace string) func(client.Snapshot) bool {
	return func(s client.Snapshot) bool {
		for range s.All(namespace) {
			return false
		}
		return true
	}
}

func TestDeploymentLife(t *testing.T) {
	c := start(t)
	d := c.write(reconcile.Creating(kinds.Deployments(), web(3)))
	until(c, kinds.Deployments(), "three replicas", available(3, "1"))
	patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`)
	c.write(reconcile.Write{Write: client.Write{
		Verb: client.Patch, Resource: kinds.Deployments(), Namespace: "shop", Name: "web",
		PatchType: types.StrategicMergePatchType, PatchData: patch,
	}})
	until(c, kinds.Deployments(), "the new image", available(3, "2"))
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationOrphan, metav1.DeletePropagationForeground} {
		t.Logf("deleting with policy %s", policy)
		w := reconcile.Deleting(kinds.Deployments(), d)
		w.Delete.PropagationPolicy = &policy
		c.write(w)
		until(c, kinds.Deployments(), "the deployment's end", gone("shop"))
		if policy != metav1.DeletePropagationOrphan {
			break
		}
		until(c, kinds.ReplicaSets(), "orphaned sets", func(s client.Snapshot) bool {
			n := 0
			for rs := range s.All("shop") {
				if len(rs.GetOwnerReferences()) == 0 {
					n++
				}
			}
			return n == 2
		})
		again := web(3)
		again.Spec.Template.Spec.Containers[0].Image = "web:2"
		d = c.write(reconcile.Creating(kinds.Deployments(), again))
		until(c, kinds.Deployments(), "adoption", available(3, "2"))
	}
	until(c, kinds.ReplicaSets(), "no sets", gone("shop"))
	until(c, kinds.Pods(), "no pods", gone("shop"))
}

func TestJobLife(t *testing.T) {
	c := start(t)
	five, two := int32(5), int32(2)
	indexed := batchv1.IndexedCompletion
	background := metav1.DeletePropagationBackground
	for name, mode := range map[string]*batchv1.CompletionMode{"plain": nil, "indexed": &indexed} {
		job := c.write(reconcile.Creating(kinds.Jobs(), &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec: batchv1.JobSpec{
				Completions: &five, Parallelism: &two, CompletionMode: mode,
				Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "pi", Image: "pi:1"}},
				}},
			},
		}))
		until(c, kinds.Jobs(), "the end of job "+name, func(s client.Snapshot) bool {
			obj, _ := s.Get("shop", name)
			j, ok := obj.(*batchv1.Job)
			return ok && j.Status.CompletionTime != nil && j.Status.Succeeded == 5
		})
		w := reconcile.Deleting(kinds.Jobs(), job)
		w.Delete.PropagationPolicy = &background
		c.write(w)
		until(c, kinds.Pods(), "no pods of job "+name, gone("shop"))
	}
}

func TestNamespaceLife(t *testing.T) {
	c := start(t)
	c.write(reconcile.Creating(kinds.Deployments(), web(3)))
	until(c, kinds.Deployments(), "three replicas", available(3, "1"))
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "held", Finalizers: []string{"example.org/hold"}}}
	c.write(reconcile.Creating(kinds.ConfigMaps(), held))
	c.write(reconcile.Write{Write: client.Write{Verb: client.Delete, Resource: kinds.Namespaces(), Name: "shop"}})
	until(c, kinds.Namespaces(), "what remains", func(s client.Snapshot) bool {
		obj, _ := s.Get("", "shop")
		ns, ok := obj.(*corev1.Namespace)
		if !ok {
			return false
		}
		for _, cond := range ns.Status.Conditions {
			if cond.Type == corev1.NamespaceFinalizersRemaining && cond.Status == corev1.ConditionTrue {
				return true
			}
		}
		return false
	})
	c.write(reconcile.Patching(kinds.ConfigMaps(), held, types.MergePatchType,
		map[string]any{"metadata": map[string]any{"finalizers": []string{}}}))
	until(c, kinds.Namespaces(), "the namespace's end", func(s client.Snapshot) bool {
		_, ok := s.Get("", "shop")
		return !ok
	})
}
