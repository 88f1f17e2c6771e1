package bootstrap_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/codec"
	"coracle.dev/coracle/internal/apiserver/admission"
	"coracle.dev/coracle/internal/apiserver/alloc"
	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/bootstrap"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/local"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/store"
	"coracle.dev/coracle/internal/store/storetest"
)

// server is an API server's inside: everything between a decoded call and a real store.
type server struct {
	chain *chain.Chain
	rbac  *authz.RBAC
	nodes *authz.Node
}

func (s *server) as(user string, groups ...string) client.Interface {
	return local.New(s.chain, request.User{Name: user, Groups: groups}, nil)
}

func newServer(t *testing.T) *server {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	catalogue, err := builtin.New()
	must(err)
	cfg := chain.Config{
		Store: storetest.Open(t), Catalogue: catalogue, Now: time.Now, Rand: rand.IntN, Logger: slog.New(slog.DiscardHandler),
		Codec: func(r *api.Resource) store.Codec { return codec.StorageCodec(r) },
	}
	plain, err := chain.New(cfg)
	must(err)
	reader := local.New(plain, request.User{Name: "reader", Groups: []string{request.GroupMasters}}, nil)
	objects, s := lookup.New(reader), &server{}
	s.rbac, err = authz.NewRBAC(reader)
	must(err)
	rules, err := bootstrap.NodeRules()
	must(err)
	s.nodes, err = authz.NewNode(reader, rules)
	must(err)
	services, err := alloc.NewServices(t.Context(), alloc.Config{
		Store: cfg.Store, Objects: objects, Catalogue: catalogue, Now: time.Now, NewUID: func() types.UID { return uuid.NewUUID() },
		CIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}, NodePorts: alloc.PortRange{First: 30000, Last: 32767},
	})
	must(err)
	cfg.Authorizer = authz.New(s.nodes, s.rbac)
	cfg.Admission = admission.Default(admission.Config{Objects: objects, Authorizer: cfg.Authorizer, RBAC: s.rbac})
	cfg.Allocators = map[schema.GroupResource]alloc.Allocator{{Resource: "services"}: services}
	s.chain, err = chain.New(cfg)
	must(err)
	return s
}

func (s *server) bootstrap(t *testing.T) {
	t.Helper()
	err := bootstrap.Run(t.Context(), s.as("system:apiserver", request.GroupMasters), bootstrap.Config{
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}, ServiceIP: netip.MustParseAddr("10.43.0.1"),
		Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:6443")}, URL: "https://192.0.2.1:6443",
		ServingCA: []byte("serving"), ClientCA: []byte("client"), FrontProxyCA: []byte("front"),
	})
	if err == nil {
		err = errors.Join(s.rbac.Sync(t.Context()), s.nodes.Sync(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func create(ctx context.Context, c client.Interface, plural, namespace string, obj api.Object) (api.Object, error) {
	out, err := c.Write(ctx, client.Write{
		Verb: client.Create, Resource: schema.GroupResource{Resource: plural}, Namespace: namespace, Object: obj,
	})
	if err != nil {
		return nil, err
	}
	made, ok := out.(api.Object)
	if !ok {
		return nil, fmt.Errorf("made a %T", out)
	}
	return made, nil
}

// TestOnARealStore bootstraps a cluster twice through all stages of a call, and lets its roles, admission and allocation work.
func TestOnARealStore(t *testing.T) {
	ctx, s := t.Context(), newServer(t)
	s.bootstrap(t)
	s.bootstrap(t)
	master := s.as("root", request.GroupMasters)
	addresses := schema.GroupResource{Group: "networking.k8s.io", Resource: "ipaddresses"}
	if _, err := master.Get(ctx, addresses, "", "10.43.0.1"); err != nil {
		t.Errorf("the address of the first service: %v", err)
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}},
	}}
	made, err := create(ctx, master, "services", "default", service)
	if err != nil {
		t.Fatal(err)
	}
	spec := made.(*corev1.Service).Spec
	if spec.ClusterIP == "" || spec.Ports[0].NodePort < 30000 {
		t.Fatalf("service %+v", spec)
	}
	taken := service.DeepCopy()
	taken.Name, taken.Spec.ClusterIP = "taken", spec.ClusterIP
	if _, err := create(ctx, master, "services", "default", taken); !apierrors.IsInvalid(err) {
		t.Errorf("a taken address: %v", err)
	}
	_, err = master.Write(ctx, client.Write{
		Verb: client.Delete, Resource: schema.GroupResource{Resource: "services"}, Namespace: "default", Name: "web",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := master.Get(ctx, addresses, "", spec.ClusterIP); !apierrors.IsNotFound(err) {
		t.Errorf("the address of a deleted service: %v", err)
	}
	if _, err := create(ctx, s.as("jane", request.GroupAuthenticated), "configmaps", "default", &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "c"},
	}); !apierrors.IsForbidden(err) {
		t.Errorf("without a role: %v", err)
	}
	if _, err := create(ctx, s.as("system:node:n1", request.GroupNodes), "nodes", "", &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"},
	}); err != nil {
		t.Errorf("a node registers: %v", err)
	}
	if _, err := create(ctx, s.as("system:node:n1", request.GroupNodes), "nodes", "", &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n2"},
	}); !apierrors.IsForbidden(err) {
		t.Errorf("a node registers another: %v", err)
	}
}
