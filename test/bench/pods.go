package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// patience is how long one pod, or the Deployment, may take.
const patience = 2 * time.Minute

// measurePods times single pods, one after the other: from create to Running, and from delete to gone.
func measurePods(ctx context.Context, o *options, c *cluster, into *column) error {
	client, err := preparePods(ctx, c)
	if err != nil {
		return err
	}
	starts, ends := make([]time.Duration, o.pods), make([]time.Duration, o.pods)
	for i := range o.pods {
		if starts[i], ends[i], err = onePod(ctx, client, fmt.Sprintf("single-%d", i)); err != nil {
			return err
		}
	}
	into.add(mPodRunning, milliseconds(median(starts)))
	into.add(mPodGone, seconds(median(ends)))
	return nil
}

// preparePods waits until pods can be made, and makes the first one, which is not timed: it finds the image.
func preparePods(ctx context.Context, c *cluster) (*kubernetes.Clientset, error) {
	client, err := c.connect()
	if err != nil {
		return nil, err
	}
	if err := ensureNamespace(ctx, client); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := client.CoreV1().ServiceAccounts(namespace).Watch(waiting, metav1.SingleObject(metav1.ObjectMeta{Name: "default"}))
	if err != nil {
		return nil, fmt.Errorf("waiting for the service account: %w", err)
	}
	defer w.Stop()
	if err := until(waiting, w, func(e watch.Event) bool { return e.Type == watch.Added }); err != nil {
		return nil, fmt.Errorf("waiting for the service account: %w", err)
	}
	_, _, err = onePod(ctx, client, "first")
	return client, err
}

func podSpec() corev1.PodSpec {
	grace := int64(1)
	return corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		Containers:                    []corev1.Container{{Name: "wait", Image: podImage, ImagePullPolicy: corev1.PullNever}},
	}
}

func onePod(ctx context.Context, client *kubernetes.Clientset, name string) (start, end time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the pod %s took more than %s", name, patience))
	defer cancel()
	pods := client.CoreV1().Pods(namespace)
	w, err := pods.Watch(ctx, metav1.SingleObject(metav1.ObjectMeta{Name: name}))
	if err != nil {
		return 0, 0, fmt.Errorf("watching the pod %s: %w", name, err)
	}
	defer w.Stop()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: podSpec()}
	began := time.Now()
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return 0, 0, fmt.Errorf("creating the pod %s: %w", name, err)
	}
	err = until(ctx, w, func(e watch.Event) bool {
		pod, ok := e.Object.(*corev1.Pod)
		return ok && pod.Status.Phase == corev1.PodRunning
	})
	if err != nil {
		return 0, 0, fmt.Errorf("waiting for the pod %s to run: %w", name, err)
	}
	start = time.Since(began)
	began = time.Now()
	if err := pods.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return 0, 0, fmt.Errorf("deleting the pod %s: %w", name, err)
	}
	if err := until(ctx, w, func(e watch.Event) bool { return e.Type == watch.Deleted }); err != nil {
		return 0, 0, fmt.Errorf("waiting for the pod %s to go: %w", name, err)
	}
	return start, time.Since(began), nil
}

// until reads events up to the one that is waited for.
func until(ctx context.Context, w watch.Interface, done func(watch.Event) bool) error {
	for {
		select {
		case event, ok := <-w.ResultChan():
			if !ok {
				return errors.Join(errors.New("the watch ended"), context.Cause(ctx))
			}
			if event.Type == watch.Error {
				return fmt.Errorf("watching: %w", apierrors.FromObject(event.Object))
			}
			if done(event) {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// measureDeployment times a Deployment from its create until all its pods are available.
func measureDeployment(ctx context.Context, o *options, c *cluster, into *column) error {
	client, err := preparePods(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the Deployment took more than %s", patience))
	defer cancel()
	const name = "many"
	deployments := client.AppsV1().Deployments(namespace)
	w, err := deployments.Watch(ctx, metav1.SingleObject(metav1.ObjectMeta{Name: name}))
	if err != nil {
		return fmt.Errorf("watching the Deployment: %w", err)
	}
	defer w.Stop()
	began := time.Now()
	if _, err := deployments.Create(ctx, deployment(name, int32(o.replicas)), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the Deployment: %w", err)
	}
	err = until(ctx, w, func(e watch.Event) bool {
		d, ok := e.Object.(*appsv1.Deployment)
		return ok && d.Status.AvailableReplicas == int32(o.replicas)
	})
	if err != nil {
		return fmt.Errorf("waiting for the Deployment: %w", err)
	}
	into.add(mDeployment, seconds(time.Since(began)))
	return removeDeployment(ctx, client, name)
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec()},
		},
	}
}

// removeDeployment waits until the pods are gone too, so that they don't weigh on what is measured next.
func removeDeployment(ctx context.Context, client *kubernetes.Clientset, name string) error {
	pods := client.CoreV1().Pods(namespace)
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		return fmt.Errorf("listing the Deployment's pods: %w", err)
	}
	w, err := pods.Watch(ctx, metav1.ListOptions{LabelSelector: "app=" + name, ResourceVersion: list.ResourceVersion})
	if err != nil {
		return fmt.Errorf("watching the Deployment's pods: %w", err)
	}
	defer w.Stop()
	background := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{PropagationPolicy: &background}
	if err := client.AppsV1().Deployments(namespace).Delete(ctx, name, options); err != nil {
		return fmt.Errorf("deleting the Deployment: %w", err)
	}
	left := len(list.Items)
	err = until(ctx, w, func(e watch.Event) bool {
		if e.Type == watch.Deleted {
			left--
		}
		return left == 0
	})
	if err != nil {
		return fmt.Errorf("waiting for the Deployment's pods to go: %w", err)
	}
	return nil
}
