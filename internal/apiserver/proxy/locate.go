package proxy

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api/kinds"
)

// kubeletPort is where kubelets listen that don't say so.
const kubeletPort = 10250

// containerOf checks the container a call names, or chooses the only one, in upstream's words.
func containerOf(pod *corev1.Pod, name string) (string, error) {
	var all []string
	for i := range pod.Spec.InitContainers {
		all = append(all, pod.Spec.InitContainers[i].Name)
	}
	for i := range pod.Spec.Containers {
		all = append(all, pod.Spec.Containers[i].Name)
	}
	for i := range pod.Spec.EphemeralContainers {
		all = append(all, pod.Spec.EphemeralContainers[i].Name)
	}
	switch {
	case name == "" && len(pod.Spec.Containers) == 1:
		return pod.Spec.Containers[0].Name, nil
	case name == "" && len(all) == 0:
		return "", apierrors.NewBadRequest("a container name must be specified for pod " + pod.Name)
	case name == "":
		return "", apierrors.NewBadRequest(fmt.Sprintf(
			"a container name must be specified for pod %s, choose one of: %s", pod.Name, all))
	case !slices.Contains(all, name):
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
	default:
		return name, nil
	}
}

// nodeURL is where a node's kubelet listens.
func (p *Proxy) nodeURL(ctx context.Context, name string) (*url.URL, *corev1.Node, error) {
	node, err := get[*corev1.Node](ctx, p, kinds.Nodes(), "", name)
	if err != nil {
		return nil, nil, err
	}
	host, ok := addressOf(node)
	if !ok {
		return nil, nil, apierrors.NewInternalError(fmt.Errorf("node %s has no address", name))
	}
	port := int(node.Status.DaemonEndpoints.KubeletEndpoint.Port)
	if port == 0 {
		port = kubeletPort
	}
	return &url.URL{Scheme: "https", Host: net.JoinHostPort(host, strconv.Itoa(port))}, node, nil
}

// addressOf chooses the address by which a node is reached.
func addressOf(node *corev1.Node) (string, bool) {
	for _, want := range []corev1.NodeAddressType{
		corev1.NodeInternalIP, corev1.NodeInternalDNS, corev1.NodeHostName, corev1.NodeExternalDNS, corev1.NodeExternalIP,
	} {
		for _, a := range node.Status.Addresses {
			if a.Type == want && a.Address != "" {
				return a.Address, true
			}
		}
	}
	return "", false
}

// logQuery is the query that the kubelet understands.
func logQuery(o *corev1.PodLogOptions) url.Values {
	q := url.Values{}
	flag := func(name string, on bool) {
		if on {
			q.Set(name, "true")
		}
	}
	number := func(name string, n *int64) {
		if n != nil {
			q.Set(name, strconv.FormatInt(*n, 10))
		}
	}
	flag("follow", o.Follow)
	flag("previous", o.Previous)
	flag("timestamps", o.Timestamps)
	number("sinceSeconds", o.SinceSeconds)
	number("tailLines", o.TailLines)
	number("limitBytes", o.LimitBytes)
	if o.SinceTime != nil {
		q.Set("sinceTime", o.SinceTime.Format(time.RFC3339))
	}
	if o.Stream != nil {
		q.Set("stream", *o.Stream)
	}
	return q
}

// streamsWanted are the streams of an exec or attach session.
type streamsWanted struct {
	stdin, stdout, stderr, tty bool
	container                  string
	command                    []string
}

func wanted(opts runtime.Object) streamsWanted {
	switch o := opts.(type) {
	case *corev1.PodExecOptions:
		return streamsWanted{o.Stdin, o.Stdout, o.Stderr, o.TTY, o.Container, o.Command}
	case *corev1.PodAttachOptions:
		return streamsWanted{o.Stdin, o.Stdout, o.Stderr, o.TTY, o.Container, nil}
	default:
		return streamsWanted{}
	}
}

// query is the query that the kubelet understands.
func (s streamsWanted) query() url.Values {
	q := url.Values{}
	for _, f := range []struct {
		name string
		on   bool
	}{{"input", s.stdin}, {"output", s.stdout}, {"error", s.stderr}, {"tty", s.tty}} {
		if f.on {
			q.Set(f.name, "1")
		}
	}
	for _, c := range s.command {
		q.Add("command", c)
	}
	return q
}

// splitName takes "[scheme:]name[:port]" apart.
func splitName(id string) (scheme, name, port string, err error) {
	parts := strings.Split(id, ":")
	switch len(parts) {
	case 1:
		return "http", parts[0], "", nil
	case 2:
		return "http", parts[0], parts[1], nil
	case 3:
		scheme = parts[0]
		if scheme == "" {
			scheme = "http"
		}
		if scheme == "http" || scheme == "https" {
			return scheme, parts[1], parts[2], nil
		}
	}
	return "", "", "", apierrors.NewBadRequest(fmt.Sprintf("invalid proxy request %q", id))
}
