package env

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/node/downward"
)

func TestExpand(t *testing.T) {
	lookup := func(name string) (string, bool) {
		v, ok := map[string]string{"A": "1", "B": "$(A)", "": "empty"}[name]
		return v, ok
	}
	for _, c := range []struct{ name, in, want string }{
		{"plain", "hello", "hello"},
		{"reference", "x$(A)y", "x1y"},
		{"no recursion", "$(B)", "$(A)"},
		{"unknown stays", "$(C)", "$(C)"},
		{"escaped", "$$(A)", "$(A)"},
		{"escaped dollar before reference", "$$$(A)", "$1"},
		{"shell form stays", "$A ${A}", "$A ${A}"},
		{"unclosed", "a$(A", "a$(A"},
		{"dollar at the end", "a$", "a$"},
		{"two", "$(A)$(A)", "11"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Expand(c.in, lookup); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("$(A) $$ $(", "A")
	f.Fuzz(func(t *testing.T, s, name string) {
		same := Expand(s, func(string) (string, bool) { return "", false })
		if !strings.Contains(s, "$$") && same != s {
			t.Errorf("%q became %q though nothing is known", s, same)
		}
		if strings.ContainsAny(name, "$)") {
			return
		}
		if got := Expand("$("+name+")", func(string) (string, bool) { return "v", true }); got != "v" {
			t.Errorf("$(%s) became %q", name, got)
		}
	})
}

func facts() downward.Facts {
	return downward.Facts{
		Pod: &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: "web", Namespace: "shop", UID: "u1",
				Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"note": "hi"},
			},
			Spec: v1.PodSpec{NodeName: "n1", ServiceAccountName: "sa", Containers: []v1.Container{{
				Name: "main",
				Resources: v1.ResourceRequirements{
					Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("250m")},
					Limits:   v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi")},
				},
			}}},
		},
		PodIPs: []string{"10.42.0.5", "fd00::5"}, HostIPs: []string{"192.0.2.1"},
		Allocatable: v1.ResourceList{v1.ResourceCPU: resource.MustParse("3")},
	}
}

const everySource = `
name: main
envFrom:
- {prefix: P_, configMapRef: {name: cm}}
- {secretRef: {name: absent, optional: true}}
env:
- {name: PLAIN, value: "a$(P_k)-$(DB_SERVICE_HOST)-$(LATER)"}
- {name: LATER, value: later}
- {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
- {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
- {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
- {name: MCPU, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
- {name: MEM, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
- {name: SECRET, valueFrom: {secretKeyRef: {name: s, key: pw}}}
- {name: NONE, valueFrom: {secretKeyRef: {name: s, key: nope, optional: true}}}
`

func TestResolve(t *testing.T) {
	var c v1.Container
	if err := yaml.UnmarshalStrict([]byte(everySource), &c); err != nil {
		t.Fatal(err)
	}
	in := Input{
		Facts: facts(), Container: &c,
		ConfigMaps: map[string]*v1.ConfigMap{"cm": {Data: map[string]string{"k": "v", "bad=key": "x"}}},
		Secrets:    map[string]*v1.Secret{"s": {Data: map[string][]byte{"pw": []byte("hush")}}},
		Services: []*v1.Service{
			service("shop", "db", "10.43.0.7", 5432), service("shop", "headless", "None", 1), service("other", "x", "10.43.0.8", 1),
			service("default", "kubernetes", "10.43.0.1", 443),
		},
	}
	got, err := Resolve(in)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, v := range got.Vars {
		lines = append(lines, v.Name+"="+v.Value)
	}
	want := `P_k=v
PLAIN=av-10.43.0.7-$(LATER)
LATER=later
POD=web
LABEL=web
IPS=10.42.0.5,fd00::5
CPU=3
MCPU=250
MEM=64
SECRET=hush
DB_SERVICE_HOST=10.43.0.7
DB_SERVICE_PORT=5432
DB_SERVICE_PORT_MAIN=5432
DB_PORT=tcp://10.43.0.7:5432
DB_PORT_5432_TCP=tcp://10.43.0.7:5432
DB_PORT_5432_TCP_PROTO=tcp
DB_PORT_5432_TCP_PORT=5432
DB_PORT_5432_TCP_ADDR=10.43.0.7
KUBERNETES_SERVICE_HOST=10.43.0.1
KUBERNETES_SERVICE_PORT=443
KUBERNETES_SERVICE_PORT_MAIN=443
KUBERNETES_PORT=tcp://10.43.0.1:443
KUBERNETES_PORT_443_TCP=tcp://10.43.0.1:443
KUBERNETES_PORT_443_TCP_PROTO=tcp
KUBERNETES_PORT_443_TCP_PORT=443
KUBERNETES_PORT_443_TCP_ADDR=10.43.0.1`
	if strings.Join(lines, "\n") != want {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	if !slices.Equal(got.Skipped, []string{"bad=key"}) {
		t.Errorf("skipped %q", got.Skipped)
	}
}

func service(ns, name, ip string, port int32) *v1.Service {
	return &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec:       v1.ServiceSpec{ClusterIP: ip, Ports: []v1.ServicePort{{Name: "main", Port: port, Protocol: v1.ProtocolTCP}}},
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{`{name: X, valueFrom: {configMapKeyRef: {name: cm, key: k}}}`, `configmap "cm" not found`},
		{`{name: X, valueFrom: {secretKeyRef: {name: s, key: k}}}`, `couldn't find key k in Secret shop/s`},
		{`{name: X, valueFrom: {fieldRef: {fieldPath: spec.what}}}`, `unsupported fieldPath: spec.what`},
		{`{name: X, valueFrom: {resourceFieldRef: {resource: limits.cpu, containerName: other}}}`, `container other not found`},
	} {
		t.Run(c.want, func(t *testing.T) {
			var e v1.EnvVar
			if err := yaml.UnmarshalStrict([]byte(c.env), &e); err != nil {
				t.Fatal(err)
			}
			in := Input{
				Facts: facts(), Container: &v1.Container{Name: "main", Env: []v1.EnvVar{e}},
				Secrets: map[string]*v1.Secret{"s": {}},
			}
			if _, err := Resolve(in); fmt.Sprint(err) != c.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestServiceLinksOff(t *testing.T) {
	in := Input{Facts: facts(), Container: &v1.Container{Name: "main"}, Services: []*v1.Service{
		service("shop", "db", "10.43.0.7", 1), service("default", "kubernetes", "10.43.0.1", 443),
	}}
	off := false
	in.Facts.Pod.Spec.EnableServiceLinks = &off
	got, err := Resolve(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range got.Vars {
		if !strings.HasPrefix(v.Name, "KUBERNETES_") {
			t.Errorf("unwanted variable %s", v.Name)
		}
	}
	if len(got.Vars) == 0 {
		t.Error("the API server's variables are missing")
	}
}
