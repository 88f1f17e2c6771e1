package source

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/node/env"
	"coracle.dev/coracle/internal/node/pod"
	"coracle.dev/coracle/internal/node/volume"
)

// Ref names an object in a pod's namespace.
type Ref struct {
	// Resource is "configmaps" or "secrets".
	Resource, Name string
}

// References returns the objects whose change concerns the pod.
func References(p *v1.Pod) []Ref {
	seen := map[Ref]bool{}
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.ConfigMap != nil {
			seen[Ref{"configmaps", v.ConfigMap.Name}] = true
		}
		if v.Secret != nil {
			seen[Ref{"secrets", v.Secret.SecretName}] = true
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				seen[Ref{"configmaps", s.ConfigMap.Name}] = true
			}
			if s.Secret != nil {
				seen[Ref{"secrets", s.Secret.Name}] = true
			}
		}
	}
	for _, e := range pod.Entries(p) {
		r := env.References(e.Container)
		for name := range r.ConfigMaps {
			seen[Ref{"configmaps", name}] = true
		}
		for name := range r.Secrets {
			seen[Ref{"secrets", name}] = true
		}
	}
	refs := make([]Ref, 0, len(seen))
	for r := range seen {
		refs = append(refs, r)
	}
	return refs
}

// Source reads for the pods of one node. Safe for concurrent use.
type Source struct {
	client  client.Interface
	changed func(uid types.UID)
	now     func() time.Time
	logger  *slog.Logger

	mu       sync.Mutex
	follows  map[followed]*follow
	services client.Cache
}

type followed struct {
	namespace string
	ref       Ref
}

type follow struct {
	pods map[types.UID]bool
	stop context.CancelFunc
}

// New returns a source that calls changed for each pod whose configuration changed.
func New(c client.Interface, changed func(uid types.UID), now func() time.Time, logger *slog.Logger) *Source {
	return &Source{client: c, changed: changed, now: now, logger: logger, follows: map[followed]*follow{}}
}

func resource(name string) schema.GroupResource { return schema.GroupResource{Resource: name} }

// ConfigMap reads one ConfigMap.
func (s *Source) ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error) {
	cm, err := client.Get[*v1.ConfigMap](ctx, s.client, resource("configmaps"), namespace, name)
	return cm, singular(err, "configmap", name)
}

// Secret reads one Secret.
func (s *Source) Secret(ctx context.Context, namespace, name string) (*v1.Secret, error) {
	secret, err := client.Get[*v1.Secret](ctx, s.client, resource("secrets"), namespace, name)
	return secret, singular(err, "secret", name)
}

// singular words a missing object as the kubelet's messages do.
func singular(err error, kind, name string) error {
	if apierrors.IsNotFound(err) {
		return apierrors.NewNotFound(resource(kind), name)
	}
	return err
}

// Token asks for a token of the pod's service account that ends with the pod.
func (s *Source) Token(ctx context.Context, p *v1.Pod, audience string, seconds int64) (volume.Token, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID},
	}}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	issued := s.now()
	answer, err := s.client.Write(ctx, client.Write{
		Verb: client.Create, Resource: resource("serviceaccounts"), Subresource: "token",
		Namespace: p.Namespace, Name: p.Spec.ServiceAccountName, Object: request,
	})
	if err != nil {
		return volume.Token{}, fmt.Errorf("requesting a token of service account %s/%s: %w",
			p.Namespace, p.Spec.ServiceAccountName, err)
	}
	got, ok := answer.(*authenticationv1.TokenRequest)
	if !ok {
		return volume.Token{}, fmt.Errorf("a token request was answered with a %T", answer)
	}
	return volume.Token{Value: got.Status.Token, Issued: issued, Expires: got.Status.ExpirationTimestamp.Time}, nil
}

// TrustBundle returns the certificates of a projection: of one bundle by name, or of all of a signer that a selector matches.
func (s *Source) TrustBundle(ctx context.Context, p *v1.ClusterTrustBundleProjection) ([]byte, error) {
	bundles := schema.GroupResource{Group: "certificates.k8s.io", Resource: "clustertrustbundles"}
	var texts []string
	if p.Name != nil {
		b, err := client.Get[*certificatesv1.ClusterTrustBundle](ctx, s.client, bundles, "", *p.Name)
		if err != nil {
			return nil, err
		}
		return unique([]string{b.Spec.TrustBundle}), nil
	}
	if p.SignerName == nil {
		return nil, fmt.Errorf("clusterTrustBundle projection names neither a bundle nor a signer")
	}
	opts := client.ListOptions{FieldSelector: "spec.signerName=" + *p.SignerName}
	if p.LabelSelector != nil {
		selector, err := metav1.LabelSelectorAsSelector(p.LabelSelector)
		if err != nil {
			return nil, fmt.Errorf("reading the selector of trust bundles: %w", err)
		}
		opts.LabelSelector = selector.String()
	}
	list, err := s.client.List(ctx, bundles, opts)
	if err != nil {
		return nil, fmt.Errorf("listing trust bundles of %s: %w", *p.SignerName, err)
	}
	for _, obj := range list.Items {
		if b, ok := obj.(*certificatesv1.ClusterTrustBundle); ok && p.LabelSelector != nil {
			texts = append(texts, b.Spec.TrustBundle)
		}
	}
	if len(texts) == 0 && (p.Optional == nil || !*p.Optional) {
		return nil, apierrors.NewNotFound(bundles, *p.SignerName)
	}
	return unique(texts), nil
}

// unique returns the certificates of all texts once each, in a stable order.
func unique(texts []string) []byte {
	seen := map[string]bool{}
	var blocks []string
	for _, text := range texts {
		rest := []byte(text)
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			encoded := string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
			if !seen[encoded] {
				seen[encoded] = true
				blocks = append(blocks, encoded)
			}
		}
	}
	slices.Sort(blocks)
	var out bytes.Buffer
	for _, b := range blocks {
		out.WriteString(b)
	}
	return out.Bytes()
}

// Services returns the services that a pod of the namespace may find in its environment.
func (s *Source) Services(ctx context.Context, namespace string) ([]*v1.Service, error) {
	s.mu.Lock()
	cache := s.services
	s.mu.Unlock()
	if cache == nil {
		var err error
		if cache, err = s.client.Cache(client.Selection{Resource: resource("services")}); err != nil {
			return nil, fmt.Errorf("opening the cache of services: %w", err)
		}
		if err := cache.Sync(ctx); err != nil {
			return nil, fmt.Errorf("services have not yet been read at least once, cannot construct envvars: %w", err)
		}
		s.mu.Lock()
		s.services = cache
		s.mu.Unlock()
	}
	snapshot := cache.Snapshot()
	var services []*v1.Service
	for obj := range snapshot.All(namespace) {
		if svc, ok := obj.(*v1.Service); ok {
			services = append(services, svc)
		}
	}
	if namespace == metav1.NamespaceDefault {
		return services, nil
	}
	if obj, ok := snapshot.Get(metav1.NamespaceDefault, "kubernetes"); ok {
		if svc, ok := obj.(*v1.Service); ok {
			services = append(services, svc)
		}
	}
	return services, nil
}

// PullSecrets reads the pod's image pull secrets. Those that can't be read are left out, as the image may be public.
func (s *Source) PullSecrets(ctx context.Context, p *v1.Pod) (secrets []*v1.Secret, unreadable []string) {
	for _, ref := range p.Spec.ImagePullSecrets {
		secret, err := s.Secret(ctx, p.Namespace, ref.Name)
		if err != nil {
			unreadable = append(unreadable, ref.Name)
			continue
		}
		secrets = append(secrets, secret)
	}
	return secrets, unreadable
}

// Follow watches what the pod refers to until ctx ends or Forget is called. Calling it again with a changed pod is fine.
func (s *Source) Follow(ctx context.Context, p *v1.Pod) {
	wanted := map[followed]bool{}
	for _, ref := range References(p) {
		wanted[followed{p.Namespace, ref}] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.follows {
		if f.pods[p.UID] && !wanted[key] {
			s.leave(key, f, p.UID)
		}
	}
	for key := range wanted {
		f := s.follows[key]
		if f == nil {
			followCtx, stop := context.WithCancel(ctx)
			f = &follow{pods: map[types.UID]bool{}, stop: stop}
			s.follows[key] = f
			go s.run(followCtx, key, f)
		}
		f.pods[p.UID] = true
	}
}

// Forget stops watching for a pod.
func (s *Source) Forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.follows {
		if f.pods[uid] {
			s.leave(key, f, uid)
		}
	}
}

func (s *Source) leave(key followed, f *follow, uid types.UID) {
	delete(f.pods, uid)
	if len(f.pods) == 0 {
		f.stop()
		delete(s.follows, key)
	}
}

// run follows one object and reports its changes.
func (s *Source) run(ctx context.Context, key followed, f *follow) {
	cache, err := s.client.Cache(client.Selection{
		Resource: resource(key.ref.Resource), Namespace: key.namespace, FieldSelector: "metadata.name=" + key.ref.Name,
	})
	if err != nil {
		s.logger.Warn("changes of an object are not followed", "kind", key.ref.Resource, "namespace", key.namespace,
			"name", key.ref.Name, "err", err)
		return
	}
	_, stream := cache.Follow()
	defer stream.Close()
	for {
		if _, err := stream.Next(ctx); err != nil {
			return
		}
		s.mu.Lock()
		uids := make([]types.UID, 0, len(f.pods))
		for uid := range f.pods {
			uids = append(uids, uid)
		}
		s.mu.Unlock()
		for _, uid := range uids {
			s.changed(uid)
		}
	}
}
