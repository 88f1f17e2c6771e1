package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestNames asks pods on every node for names, addresses and pages.
func TestNames(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.apply("web.yaml", "APP=web", "REPLICAS=3", "TOLERATED=300")
	s.apply("names.yaml")
	nodes := []string{"node-1", "node-2", "node-3"}
	for _, node := range nodes {
		s.apply("pod.yaml", "POD=on-"+node, "NODE="+node, `ARGS=["wait"]`)
	}
	pods := s.running("web", 3)
	named := s.running("named", 1)[0]
	for _, node := range nodes {
		s.running("on-"+node, 1)
	}
	web := s.service("web")
	door := s.service("door")

	for _, node := range nodes {
		s.part("from "+node, func(s *space) {
			s.askNames("on-"+node, web.Spec.ClusterIP, named.Status.PodIP)
			for _, pod := range pods { // Every pod answers: on its own address, and by the service's.
				s.holds(s.tool("on-"+node, "get", "http://"+pod.Status.PodIP+":8080/"), pod.Name)
				s.tool("on-"+node, "until", pod.Name, "http://"+web.Spec.ClusterIP+"/")
			}
			for _, other := range []string{"10.89.0.11", "10.89.0.12", "10.89.0.13"} {
				s.tool("on-"+node, "until", "one", fmt.Sprintf("http://%s:%d/", other, door.Spec.Ports[0].NodePort))
			}
		})
	}
	s.part("a pod reaches itself through its service", func(s *space) {
		s.tool(pods[0].Name, "until", pods[0].Name, "http://web/")
	})
	s.part("nothing answers for what does not exist", func(s *space) {
		// Whole names: shorter ones would be asked for outside the cluster too, where these nodes know nobody.
		names := []string{"nothing." + s.ns + ".svc.cluster.local.", "web.nowhere.svc.cluster.local.", "nothing.cluster.local."}
		want := strings.Join(names, " unknown\n") + " unknown"
		if got := s.tool("on-node-1", append([]string{"lookup"}, names...)...); got != want {
			s.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	s.part("a service without endpoints refuses", func(s *space) {
		s.kubectl("scale", "deployment/web", "--replicas=0")
		s.running("web", 0)
		s.serving("no pod", "web", 0)
		r := s.run(s.ctx, "", "exec", "on-node-2", "--", "/tool", "get", "http://web/")
		s.holds(r.err, "connection refused")
	})
}

func (s *space) service(name string) *corev1.Service {
	s.Helper()
	got, err := s.CoreV1().Services(s.ns).Get(s.ctx, name, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return got
}

// askNames looks up the names that services and pods have.
func (s *space) askNames(client, web, named string) {
	s.Helper()
	full := s.ns + ".svc.cluster.local"
	var names, lines []string
	for name, want := range map[string]string{
		"web": web, "web." + s.ns: web, "web." + s.ns + ".svc": web, "web." + full: web, "web." + full + ".": web,
		"names." + s.ns: named, "host-name.names." + s.ns: named, "host-name.names." + full: named,
		"elsewhere": web, "kubernetes.default": "10.43.0.1",
		strings.ReplaceAll(named, ".", "-") + "." + s.ns + ".pod.cluster.local": named,
	} {
		names, lines = append(names, name), append(lines, name+" "+want)
	}
	got := strings.Split(s.tool(client, append([]string{"lookup"}, names...)...), "\n")
	if !slices.Equal(got, lines) {
		s.Errorf("%s is told\n%q, want\n%q", client, got, lines)
	}
}
