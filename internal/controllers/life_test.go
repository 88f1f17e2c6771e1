package controllers_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

// cluster is a fake API server, all controllers, and a node that starts pods after two seconds and ends them after one.
type cluster struct {
	*clientfake.Client
	t    *testing.T
	stop func()
	// outcome is how the next pods of jobs end.
	outcome corev1.PodPhase
	watch   func(pods []*corev1.Pod)
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	ready := []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	fake := clientfake.New(reconciletest.Catalogue(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{Conditions: ready}},
	)
	fake.SetClock(time.Now)
	c := &cluster{Client: fake, t: t, outcome: corev1.PodSucceeded}
	c.start()
	return c
}

func (c *cluster) start() {
	e, err := reconcile.New(reconcile.Config{
		Client: func(string) client.Interface { return c }, Rand: func() float64 { return 0.5 },
	}, everything(c.t)...)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	c.stop = func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("engine: %v", err)
		}
	}
}

func (c *cluster) pods() []*corev1.Pod {
	list, err := c.List(context.Background(), kinds.Pods(), client.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	var all []*corev1.Pod
	for _, obj := range list.Items {
		if pod, ok := obj.(*corev1.Pod); ok {
			all = append(all, pod)
		}
	}
	return all
}

// node does what scheduler and node do, in steps of a second, until nothing has changed for ten.
func (c *cluster) node() {
	for idle := 0; idle < 10; idle++ {
		time.Sleep(time.Second)
		synctest.Wait()
		for _, pod := range c.pods() {
			if c.step(pod.DeepCopy()) {
				idle = 0
			}
		}
		synctest.Wait()
		if c.watch != nil {
			c.watch(c.pods())
		}
	}
}

func (c *cluster) step(pod *corev1.Pod) bool {
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}
	switch {
	case pod.DeletionTimestamp != nil:
		if len(pod.Finalizers) > 0 {
			if pod.Status.Phase == corev1.PodFailed {
				return false
			}
			pod.Status.Phase = corev1.PodFailed
			c.Load(pod)
			return true
		}
		c.Remove(kinds.Pods(), pod.Namespace, pod.Name)
	case pod.Spec.NodeName == "":
		pod.Spec.NodeName = "n1"
		pod.Status.Phase = corev1.PodPending
		c.Load(pod)
	case pod.Status.Phase == corev1.PodPending:
		pod.Status.Phase = corev1.PodRunning
		pod.Status.PodIPs = []corev1.PodIP{{IP: fmt.Sprintf("10.42.0.%d", len(pod.Name)+int(pod.UID[len(pod.UID)-1]))}}
		pod.Status.Conditions = []corev1.PodCondition{ready}
		c.Load(pod)
	case pod.Status.Phase == corev1.PodRunning && metav1.GetControllerOf(pod).Kind == "Job":
		pod.Status.Phase = c.outcome
		pod.Status.Conditions[0].Status = corev1.ConditionFalse
		c.Load(pod)
	default:
		return false
	}
	return true
}

func get[T interface{ GetName() string }](c *cluster, obj any, err error) T {
	if err != nil {
		c.t.Fatal(err)
	}
	return obj.(T)
}

func webDeployment(replicas int32, image string) *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	deadline, surge, unavailable := int32(600), intstr.FromInt32(1), intstr.FromInt32(1)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: 1},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, ProgressDeadlineSeconds: &deadline,
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
			},
		},
	}
}

// TestRollout applies a deployment with a service, changes its image, and watches the limits all the way.
func TestRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer func() { c.stop() }()
		ctx := context.Background()
		c.Load(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec: corev1.ServiceSpec{
				ClusterIP: "10.43.0.9", IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Selector: map[string]string{"app": "web"},
				Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}},
			},
		})
		if _, err := c.Write(ctx, reconcile.Creating(kinds.Deployments(), webDeployment(6, "web:1")).Write); err != nil {
			t.Fatal(err)
		}
		c.node()
		c.watch = func(pods []*corev1.Pod) {
			alive, ready := 0, 0
			for _, pod := range pods {
				if pod.DeletionTimestamp == nil {
					alive++
					if len(pod.Status.Conditions) > 0 {
						ready++
					}
				}
			}
			if alive > 7 || ready < 5 {
				t.Errorf("during the rollout: %d pods of which %d are ready; at most 7 and at least 5 were asked for", alive, ready)
			}
		}
		obj, err := c.Get(ctx, kinds.Deployments(), "shop", "web")
		d := get[*appsv1.Deployment](c, obj, err).DeepCopy()
		d.Spec.Template.Spec.Containers[0].Image = "web:2"
		d.Generation = 2
		c.Load(d)
		c.node()
		for _, pod := range c.pods() {
			if pod.Spec.Containers[0].Image != "web:2" {
				t.Errorf("pod %s still has the old image", pod.Name)
			}
		}
		if n := len(c.pods()); n != 6 {
			t.Errorf("%d pods, want 6", n)
		}
		obj, err = c.Get(ctx, kinds.Deployments(), "shop", "web")
		d = get[*appsv1.Deployment](c, obj, err)
		if d.Status.UpdatedReplicas != 6 || d.Status.AvailableReplicas != 6 || d.Status.ObservedGeneration != 2 {
			t.Errorf("status %+v", d.Status)
		}
		list, err := c.List(ctx, kinds.EndpointSlices(), client.ListOptions{})
		if err != nil || len(list.Items) != 1 {
			t.Fatalf("%d slices (%v), want 1", len(list.Items), err)
		}
		if n := len(list.Items[0].(*discoveryv1.EndpointSlice).Endpoints); n != 6 {
			t.Errorf("%d endpoints, want 6", n)
		}
	})
}

// TestJobCountsOnce runs a job of ten pods while the controllers are stopped and started again every few seconds.
func TestJobCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer func() { c.stop() }()
		ctx := context.Background()
		ten, three := int32(10), int32(3)
		labels := map[string]string{"batch.kubernetes.io/controller-uid": "pi"}
		job := &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pi"},
			Spec: batchv1.JobSpec{
				Completions: &ten, Parallelism: &three, BackoffLimit: &ten, Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}},
			},
		}
		if _, err := c.Write(ctx, reconcile.Creating(kinds.Jobs(), job).Write); err != nil {
			t.Fatal(err)
		}
		rounds := 0
		c.watch = func([]*corev1.Pod) {
			rounds++
			if rounds%3 == 0 {
				c.stop()
				c.start()
			}
		}
		c.node()
		c.watch = nil
		c.node()
		obj, err := c.Get(ctx, kinds.Jobs(), "shop", "pi")
		done := get[*batchv1.Job](c, obj, err)
		complete := false
		for _, cond := range done.Status.Conditions {
			complete = complete || cond.Type == batchv1.JobComplete
		}
		if done.Status.Succeeded != 10 || !complete || len(done.Status.UncountedTerminatedPods.Succeeded) != 0 {
			t.Errorf("status %+v", done.Status)
		}
		if n := len(c.pods()); n != 10 {
			t.Errorf("%d pods were made, want 10", n)
		}
	})
}
