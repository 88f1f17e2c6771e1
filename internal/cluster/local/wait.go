package local

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/runtime"
)

const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = 500 * time.Millisecond
)

func containerdSocketInNode() string {
	common := config.Common{DataDir: config.DefaultDataDir, StateDir: config.DefaultStateDir}
	return runtime.Config{State: common.ContainerdStateDir()}.Socket()
}

// WaitReady waits until the API server is ready and reports every node as Ready. progress (may be nil) is told about nodes that
// became ready.
func WaitReady(ctx context.Context, c *Cluster, progress func(string)) error {
	if progress == nil {
		progress = func(string) {}
	}
	rc, client, err := connectAPI(c.Kubeconfig)
	if err != nil {
		return err
	}
	if err := untilAnswers(ctx, rc, "/readyz"); err != nil {
		return err
	}
	progress("the API server is ready")
	waiting := map[string]bool{}
	for _, name := range c.Nodes {
		waiting[name] = true
	}
	note := func(n *corev1.Node) {
		if waiting[n.Name] && readyCondition(n) == corev1.ConditionTrue {
			delete(waiting, n.Name)
			progress(n.Name + " is ready")
		}
	}
	for len(waiting) > 0 {
		if err := watchNodes(ctx, client, note, func() bool { return len(waiting) == 0 }); err != nil {
			return fmt.Errorf("waiting for %s to be ready: %w", strings.Join(slices.Sorted(maps.Keys(waiting)), ", "), err)
		}
	}
	return nil
}

func connectAPI(kubeconfig string) (rest.Interface, corev1client.NodeInterface, error) {
	rc, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the kubeconfig %s: %w", kubeconfig, err)
	}
	rc.NegotiatedSerializer, rc.ContentType = scheme.Codecs, "application/vnd.kubernetes.protobuf"
	rc.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	// The machine's proxies are not meant for the machine itself.
	rc.Proxy = http.ProxyURL(nil)
	client, err := corev1client.NewForConfig(rc)
	if err != nil {
		return nil, nil, fmt.Errorf("preparing a client: %w", err)
	}
	return client.RESTClient(), client.Nodes(), nil
}

// untilAnswers asks until the server says yes. Nothing tells a client when a server begins to listen, so it tries, less and
// less often.
func untilAnswers(ctx context.Context, rc rest.Interface, path string) error {
	for delay := firstRetry; ; delay = min(delay*3/2, lastRetry) {
		err := rc.Get().AbsPath(path).MaxRetries(0).Do(ctx).Error()
		if err == nil {
			return nil
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for the API server (last answer: %w): %w", err, context.Cause(ctx))
		}
	}
}

// watchNodes shows every node to note, first as it is and then at each change, until done says so or the watch breaks.
func watchNodes(ctx context.Context, client corev1client.NodeInterface, note func(*corev1.Node), done func() bool) error {
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		note(&list.Items[i])
	}
	if done() {
		return nil
	}
	w, err := client.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case event, ok := <-w.ResultChan():
			if !ok || event.Type == watch.Error {
				return ctx.Err() // The caller begins again, unless its time is over.
			}
			if n, isNode := event.Object.(*corev1.Node); isNode && event.Type != watch.Deleted {
				note(n)
			}
			if done() {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func readyCondition(n *corev1.Node) corev1.ConditionStatus {
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status
		}
	}
	return corev1.ConditionUnknown
}

func nodeConditions(ctx context.Context, kubeconfig string) (map[string]string, error) {
	_, client, err := connectAPI(kubeconfig)
	if err != nil {
		return nil, err
	}
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("asking the API server: %w", err)
	}
	ready := map[string]string{}
	for i := range list.Items {
		ready[list.Items[i].Name] = string(readyCondition(&list.Items[i]))
	}
	return ready, nil
}
