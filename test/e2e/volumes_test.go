package e2e

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestVolumes looks at what a pod's containers see of its volumes and its environment.
func TestVolumes(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.apply("volumes.yaml")
	pod := s.running("reader", 1)[0]
	in := func(container string, args ...string) string {
		return strings.TrimSpace(s.kubectl(append([]string{"exec", "reader", "-c", container, "--", "/tool"}, args...)...))
	}

	s.part("environment", func(s *space) {
		for name, want := range map[string]string{
			"COLOUR": "blue", "WORD": "open sesame", "NODE": pod.Spec.NodeName, "ADDRESS": pod.Status.PodIP, "LIMIT": "64",
			"COMPOSED": "blue and open sesame", "ALL_size": "large", "HOSTNAME": "reader",
		} {
			if got := in("main", "env", name); got != want {
				s.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
	s.part("files", func(s *space) {
		for path, want := range map[string]string{
			"/settings/colour": "blue", "/settings-size": "large", "/password/word": "open sesame",
			"/about/labels": "app=\"reader\"\nrank=\"first\"", "/about/note": "written on it",
			"/all/config/colour": "blue", "/all/secret/word": "open sesame", "/all/name": "reader",
			"/var/run/secrets/kubernetes.io/serviceaccount/namespace": s.ns,
		} {
			if got := in("main", "cat", path); got != want {
				s.Errorf("%s is %q, want %q", path, got, want)
			}
		}
		parts := strings.Split(in("main", "cat", "/all/token"), ".")
		if len(parts) != 3 {
			s.Fatalf("the token has %d parts", len(parts))
		}
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			s.Fatal(err)
		}
		s.holds(string(claims), `"aud":["somebody-else"]`, "system:serviceaccount:"+s.ns+":default")
	})
	s.part("containers in order share a folder", func(s *space) {
		for _, container := range []string{"main", "neighbour", "sidecar"} {
			if got := in(container, "cat", "/shared/prepared"); got != "by the first container" {
				s.Errorf("%s reads %q", container, got)
			}
		}
		in("main", "write", "/shared/note", "for the neighbour")
		if got := in("neighbour", "cat", "/shared/note"); got != "for the neighbour" {
			s.Errorf("the neighbour reads %q", got)
		}
		s.holds(s.kubectl("logs", "reader", "-c", "after"), "reader") // The page of the sidecar, which was there before it.
		s.holds(in("main", "get", "http://localhost:8080/"), "reader")
		if got := s.kubectl("get", "pod/reader", "-o", "jsonpath={.status.initContainerStatuses[*].ready}"); got != "true true true" {
			s.Errorf("the first containers are ready: %s", got)
		}
	})
	s.part("secrets and configurations can't be written", func(s *space) {
		for _, path := range []string{"/password/word", "/settings/colour"} {
			r := s.run(s.ctx, "", "exec", "reader", "-c", "main", "--", "/tool", "write", path, "x")
			s.holds(r.err, "read-only file system")
		}
	})
	s.part("changes arrive", func(s *space) {
		s.kubectl("patch", "configmap/settings", "--type=merge", "-p", `{"data":{"colour":"green","size":"small","new":"key"}}`)
		s.kubectl("label", "pod/reader", "rank=second", "--overwrite")
		in("main", "until-file", "green", "/settings/colour")
		in("main", "until-file", "key", "/settings/new")
		in("main", "until-file", "green", "/all/config/colour")
		in("main", "until-file", `rank="second"`, "/about/labels")
		// What was copied at the start stays as it was.
		if got := in("main", "cat", "/settings-size") + in("main", "env", "COLOUR"); got != "largeblue" {
			s.Errorf("a mounted key and a variable changed: %s", got)
		}
	})
}

// TestAccount calls the API from inside a pod, with what the pod was given, and gets what its role allows.
func TestAccount(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.apply("account.yaml")
	s.running("caller", 1)
	s.kubectl("create", "configmap", "open", "--from-literal=a=b")
	base := "/api/v1/namespaces/" + s.ns
	s.holds(s.tool("caller", "until-file", ".", "/var/run/secrets/kubernetes.io/serviceaccount/token"), ".")
	s.holds(s.tool("caller", "api", base+"/configmaps/open"), `"a":"b"`)
	s.holds(s.tool("caller", "api", "/version"), `"major": "1"`)
	r := s.run(s.ctx, "", "exec", "caller", "--", "/tool", "api", base+"/secrets")
	s.holds(r.out, `"reason":"Forbidden"`, `secrets is forbidden: User \"system:serviceaccount:`+s.ns+`:reader\" cannot list resource`)
	s.holds(s.kubectl("auth", "can-i", "--list", "--as=system:serviceaccount:"+s.ns+":reader"), "configmaps")
	if r := s.run(s.ctx, "", "auth", "can-i", "get", "secrets", "--as=system:serviceaccount:"+s.ns+":reader"); r.code != 1 {
		t.Errorf("the account may read secrets: %v", r)
	}
	// A right that is taken away is gone at once.
	s.kubectl("delete", "rolebinding/reader")
	r = s.run(s.ctx, "", "exec", "caller", "--", "/tool", "api", base+"/configmaps/open")
	s.holds(r.out, `"reason":"Forbidden"`)
}
