package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// patience bounds every wait. It is no assertion: it only ends a test that waits for what never comes.
const patience = 90 * time.Second

// space is a test at work in a namespace of its own.
type space struct {
	*testing.T
	*cluster
	ns  string
	ctx context.Context
}

// newSpace makes the test's namespace, which is removed afterwards. A test that fails tells what was in it.
func newSpace(t *testing.T) *space {
	t.Helper()
	if whyNot != nil {
		t.Skip(whyNot)
	}
	return newSpaceIn(t, shared)
}

// newSpaceIn is newSpace on a cluster of the test's own.
func newSpaceIn(t *testing.T, c *cluster) *space {
	t.Helper()
	name := strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(t.Name(), "-"))
	s := &space{T: t, cluster: c, ns: name, ctx: t.Context()}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := s.CoreV1().Namespaces().Create(s.ctx, ns, metav1.CreateOptions{}); err != nil {
		t.Fatalf("making the namespace: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if t.Failed() {
			s.dump(ctx)
		}
		if err := s.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Errorf("removing the namespace: %v", err)
		}
	})
	until(s, "the default service account", s.CoreV1().RESTClient(), "serviceaccounts", func(list []*corev1.ServiceAccount) bool {
		return len(list) > 0
	})
	return s
}

// part runs a part of the test in the same namespace.
func (s *space) part(name string, do func(*space)) {
	s.Helper()
	s.Run(name, func(t *testing.T) {
		part := *s
		part.T, part.ctx = t, t.Context()
		do(&part)
	})
}

// dump logs what a reader of a failure wants to see.
func (s *space) dump(ctx context.Context) {
	for _, args := range [][]string{
		{"get", "pods,deployments,replicasets,jobs,services,endpointslices", "-o", "wide"},
		{"get", "events", "--sort-by=.metadata.creationTimestamp"},
		{"get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name}: {.status}{\"\\n\"}{end}"},
		{"get", "nodes", "-o", "wide"},
	} {
		r := s.run(ctx, "", args...)
		s.Logf("kubectl %s\n%s%s", strings.Join(args, " "), r.out, r.err)
	}
	s.Log(s.logs())
}

// result is how a command ended.
type result struct {
	out, err string
	code     int
}

func (r result) String() string { return fmt.Sprintf("exit code %d\n%s%s", r.code, r.out, r.err) }

// command prepares the carried kubectl in the test's namespace.
func (s *space) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"kubectl", "--data-dir", s.dataDir, "--name", s.name, "--namespace", s.ns}, args...)
	cmd := exec.CommandContext(ctx, s.binary, args...)
	// Set and empty means as little as not set.
	cmd.Env = append(os.Environ(), "KUBECONFIG=", "HOME="+s.dataDir)
	// After the end of its context a command that goes on holding its output must not hold the test.
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs kubectl and returns how it ended.
func (s *space) run(ctx context.Context, stdin string, args ...string) result {
	s.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	cmd := s.command(ctx, args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	err := cmd.Run()
	r := result{out: out.String(), err: errOut.String(), code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.err += err.Error()
	}
	return r
}

// kubectl runs kubectl, which must succeed, and returns its output.
func (s *space) kubectl(args ...string) string {
	s.Helper()
	return s.feed("", args...)
}

// feed is kubectl with something to read.
func (s *space) feed(stdin string, args ...string) string {
	s.Helper()
	r := s.run(s.ctx, stdin, args...)
	if r.code != 0 {
		s.Fatalf("kubectl %s: %v", strings.Join(args, " "), r)
	}
	return r.out
}

// refused runs kubectl, which must fail and say all the words.
func (s *space) refused(stdin string, args []string, words ...string) {
	s.Helper()
	r := s.run(s.ctx, stdin, args...)
	if r.code == 0 {
		s.Errorf("kubectl %s succeeded: %v", strings.Join(args, " "), r)
	}
	s.holds(r.err, words...)
}

// holds checks that a text has all the words in it.
func (s *space) holds(text string, words ...string) {
	s.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			s.Errorf("no %q in:\n%s", word, text)
		}
	}
}

// manifest returns a file of testdata with the placeholders replaced: NAME becomes value for NAME=value. IMAGE is known.
func (s *space) manifest(file string, values ...string) string {
	s.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		s.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "$IMAGE", toolImage)
	text = strings.ReplaceAll(text, "$NAMESPACE", s.ns)
	for _, value := range values {
		name, value, _ := strings.Cut(value, "=")
		text = strings.ReplaceAll(text, "$"+name, value)
	}
	if at := regexp.MustCompile(`\$[A-Z]+`).FindString(text); at != "" {
		s.Fatalf("%s: nobody gave a value for %s", file, at)
	}
	return text
}

// apply applies a file of testdata.
func (s *space) apply(file string, values ...string) {
	s.Helper()
	s.feed(s.manifest(file, values...), "apply", "-f", "-")
}

// tool runs the tool in a pod and returns what it printed; it must succeed.
func (s *space) tool(pod string, args ...string) string {
	s.Helper()
	return strings.TrimSpace(s.kubectl(append([]string{"exec", pod, "--", "/tool"}, args...)...))
}

// object is a pointer to an API type.
type object interface {
	runtime.Object
	metav1.Object
}

// until watches a resource of the test's namespace until the condition is true of all its objects, and returns them. The
// watch is client-go's informer, so it outlasts a restart of the server.
func until[T object](s *space, what string, from cache.Getter, resource string, done func([]T) bool) []T {
	s.Helper()
	return untilIn(s, s.ns, what, from, resource, done)
}

// untilIn is until in a namespace, or in none for what has none.
func untilIn[T object](s *space, ns, what string, from cache.Getter, resource string, done func([]T) bool) []T {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	changed := make(chan struct{}, 1)
	tell := func() {
		select {
		case changed <- struct{}{}:
		default: // It is told already.
		}
	}
	objects, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: listWatch(from, resource, ns), ObjectType: reflect.New(reflect.TypeFor[T]().Elem()).Interface().(T),
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { tell() }, UpdateFunc: func(any, any) { tell() }, DeleteFunc: func(any) { tell() },
		},
	})
	ended := make(chan struct{})
	go func() {
		informer.RunWithContext(ctx)
		close(ended)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		s.Fatalf("waiting for %s: %s could not be listed", what, resource)
	}
	for {
		var list []T
		for _, item := range objects.List() {
			list = append(list, item.(T))
		}
		if done(list) {
			return list
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.Fatalf("waiting for %s: it did not come, there are\n%s", what, describe(list))
		}
	}
}

func listWatch(from cache.Getter, resource, ns string) *cache.ListWatch {
	return cache.NewFilteredListWatchFromClient(from, resource, ns, func(*metav1.ListOptions) {})
}

func describe[T object](list []T) string {
	var out strings.Builder
	for _, o := range list {
		fmt.Fprintf(&out, "%s: %+v\n", o.GetName(), o)
	}
	return out.String()
}

// pods waits until the pods with a label app=NAME satisfy the condition, and returns them.
func (s *space) pods(what, app string, done func([]*corev1.Pod) bool) []*corev1.Pod {
	s.Helper()
	var chosen []*corev1.Pod
	until(s, what, s.core(), "pods", func(all []*corev1.Pod) bool {
		chosen = nil
		for _, pod := range all {
			if pod.Labels["app"] == app {
				chosen = append(chosen, pod)
			}
		}
		return done(chosen)
	})
	return chosen
}

// running waits until so many pods of an app are ready, and no others exist.
func (s *space) running(app string, count int) []*corev1.Pod {
	s.Helper()
	return s.pods(fmt.Sprintf("%d ready pods of %s", count, app), app, func(list []*corev1.Pod) bool {
		for _, pod := range list {
			if !ready(pod) {
				return false
			}
		}
		return len(list) == count
	})
}

func (s *space) core() rest.Interface { return s.CoreV1().RESTClient() }

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}
