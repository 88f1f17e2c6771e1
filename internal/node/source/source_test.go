package source

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
)

func podOf(t *testing.T, uid, spec string) *v1.Pod {
	t.Helper()
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: types.UID(uid)}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReferences(t *testing.T) {
	p := podOf(t, "u1", `
volumes:
- {name: a, configMap: {name: cm1}}
- {name: b, secret: {secretName: s1}}
- {name: c, projected: {sources: [{configMap: {name: cm2}}, {secret: {name: s2}}]}}
initContainers: [{name: i, envFrom: [{configMapRef: {name: cm3}}]}]
containers: [{name: m, env: [{name: X, valueFrom: {secretKeyRef: {name: s1, key: k}}}]}]
`)
	var got []string
	for _, r := range References(p) {
		got = append(got, r.Resource+"/"+r.Name)
	}
	slices.Sort(got)
	want := []string{"configmaps/cm1", "configmaps/cm2", "configmaps/cm3", "secrets/s1", "secrets/s2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestFollow changes an object that two pods share: both are told, and only while they care.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(nil)
		var mu sync.Mutex
		told := map[types.UID]int{}
		s := New(fake, func(uid types.UID) {
			mu.Lock()
			defer mu.Unlock()
			told[uid]++
		}, time.Now, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		spec := `{volumes: [{name: a, configMap: {name: cm}}], containers: [{name: m}]}`
		s.Follow(ctx, podOf(t, "u1", spec))
		s.Follow(ctx, podOf(t, "u2", spec))
		synctest.Wait()
		change := func(value string) {
			fake.Load(&v1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cm"}, Data: map[string]string{"k": value},
			})
			synctest.Wait()
		}
		expect := func(want string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if got := fmt.Sprint(told); got != want {
				t.Errorf("told %s, want %s", got, want)
			}
		}
		change("1")
		expect("map[u1:1 u2:1]")
		s.Forget("u1")
		change("2")
		expect("map[u1:1 u2:2]")
		s.Follow(ctx, podOf(t, "u2", `{containers: [{name: m}]}`))
		synctest.Wait()
		change("3")
		expect("map[u1:1 u2:2]")
		cancel()
	})
}

func TestToken(t *testing.T) {
	fake := clientfake.New(nil)
	var asked *authenticationv1.TokenRequest
	fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
		if w.Resource.Resource != "serviceaccounts" || w.Subresource != "token" || w.Namespace != "shop" || w.Name != "sa" {
			t.Errorf("wrote %+v", w)
		}
		asked = w.Object.(*authenticationv1.TokenRequest)
		answer := asked.DeepCopy()
		answer.Status = authenticationv1.TokenRequestStatus{Token: "t", ExpirationTimestamp: metav1.NewTime(time.Unix(4600, 0))}
		return answer, true, nil
	})
	s := New(fake, nil, func() time.Time { return time.Unix(1000, 0) }, slog.New(slog.DiscardHandler))
	token, err := s.Token(t.Context(), podOf(t, "u1", `{serviceAccountName: sa}`), "vault", 3600)
	if err != nil || token.Value != "t" || token.Expires.Sub(token.Issued) != time.Hour {
		t.Errorf("got %+v, %v", token, err)
	}
	if ref := asked.Spec.BoundObjectRef; ref.UID != "u1" || ref.Kind != "Pod" || asked.Spec.Audiences[0] != "vault" {
		t.Errorf("asked for %+v", asked.Spec)
	}
}

func TestServices(t *testing.T) {
	service := func(namespace, name string) *v1.Service {
		return &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	fake := clientfake.New(nil,
		service("shop", "db"), service("other", "x"), service("default", "kubernetes"), service("default", "y"))
	s := New(fake, nil, time.Now, slog.New(slog.DiscardHandler))
	for namespace, want := range map[string]string{
		"shop": "[shop/db default/kubernetes]", "default": "[default/kubernetes default/y]",
	} {
		services, err := s.Services(t.Context(), namespace)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, svc := range services {
			got = append(got, svc.Namespace+"/"+svc.Name)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", namespace, got, want)
		}
	}
}

func TestUniqueCertificates(t *testing.T) {
	block := func(body string) string {
		return "-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n"
	}
	got := string(unique([]string{block("Ymxh") + "noise\n" + block("YWJj"), block("Ymxh")}))
	if want := block("YWJj") + block("Ymxh"); got != want {
		t.Errorf("got\n%s", got)
	}
}
