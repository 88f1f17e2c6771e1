package naming

import (
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func pod(t *testing.T, spec string) *v1.Pod {
	t.Helper()
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDNS(t *testing.T) {
	n := Node{
		Domain: "cluster.local", Servers: []string{"10.43.0.10"},
		Host: Resolver{Servers: []string{"192.0.2.53"}, Searches: []string{"example.org"}, Options: []string{"edns0"}},
	}
	for _, c := range []struct{ name, spec, want string }{
		{
			"cluster first", `{dnsPolicy: ClusterFirst}`,
			"10.43.0.10|shop.svc.cluster.local svc.cluster.local cluster.local example.org|ndots:5",
		},
		{"default", `{dnsPolicy: Default}`, "192.0.2.53|example.org|edns0"},
		{"host network", `{dnsPolicy: ClusterFirst, hostNetwork: true}`, "192.0.2.53|example.org|edns0"},
		{
			"cluster first with host network", `{dnsPolicy: ClusterFirstWithHostNet, hostNetwork: true}`,
			"10.43.0.10|shop.svc.cluster.local svc.cluster.local cluster.local example.org|ndots:5",
		},
		{
			"none", `{dnsPolicy: None, dnsConfig: {nameservers: [1.2.3.4], searches: [a.b], options: [{name: ndots, value: "2"}]}}`,
			"1.2.3.4|a.b|ndots:2",
		},
		{
			"own options win", `{dnsPolicy: Default, dnsConfig: {nameservers: [192.0.2.53], options: [{name: edns0}, {name: rotate}]}}`,
			"192.0.2.53|example.org|edns0 rotate",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, warnings := DNS(pod(t, c.spec), n)
			text := strings.Join([]string{
				strings.Join(got.Servers, " "), strings.Join(got.Searches, " "), strings.Join(got.Options, " "),
			}, "|")
			if text != c.want || len(warnings) > 0 {
				t.Errorf("got %s, warnings %q", text, warnings)
			}
		})
	}
}

func TestDNSLimits(t *testing.T) {
	spec := "dnsPolicy: None\ndnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]}"
	got, warnings := DNS(pod(t, spec), Node{})
	if len(got.Servers) != 3 || len(warnings) != 1 {
		t.Errorf("got %v, %q", got, warnings)
	}
}

func TestHostsFile(t *testing.T) {
	p := pod(t, `{hostname: h, subdomain: sub, hostAliases: [{ip: 1.2.3.4, hostnames: [a, b]}]}`)
	got := HostsFile(p, []string{"10.42.0.5"}, Node{Domain: "cluster.local"})
	for _, want := range []string{"10.42.0.5\th.sub.shop.svc.cluster.local\th\n", "1.2.3.4\ta\tb\n", "127.0.0.1\tlocalhost\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestKernelName(t *testing.T) {
	p := pod(t, `{hostname: h, subdomain: sub, setHostnameAsFQDN: true}`)
	if got, err := Kernel(p, "cluster.local"); err != nil || got != "h.sub.shop.svc.cluster.local" {
		t.Errorf("got %q, %v", got, err)
	}
	p.Spec.Subdomain = strings.Repeat("x", 60)
	if _, err := Kernel(p, "cluster.local"); err == nil {
		t.Error("a name that is too long was accepted")
	}
	long := pod(t, `{}`)
	long.Name = strings.Repeat("a", 62) + "-b"
	if got, _ := Host(long, ""); got != strings.Repeat("a", 62) {
		t.Errorf("got %q", got)
	}
}

func FuzzParseResolver(f *testing.F) {
	f.Add("nameserver 1.2.3.4\nsearch a. b\noptions ndots:1\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := ParseResolver(text)
		if slices.Contains(r.Servers, "") {
			t.Error("an empty server")
		}
	})
}
