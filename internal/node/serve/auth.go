package serve

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

// User is who asks.
type User struct {
	Name, UID string
	Groups    []string
	Extra     map[string]authorizationv1.ExtraValue
}

// Authenticator tells who sent a request; false when nobody vouches for the sender.
type Authenticator func(r *http.Request) (User, bool, error)

// Authorizer says whether the user may use the verb on a subresource of the node ("proxy", "log", "stats", ...).
type Authorizer func(ctx context.Context, u User, verb, subresource string) (bool, error)

// How long answers of the API server are believed, as upstream's defaults.
const (
	believeToken   = 2 * time.Minute
	believeAllowed = 5 * time.Minute
	believeDenied  = 30 * time.Second
)

// Certificates authenticates by client certificates of the CA: the common name is the user, organisations are groups.
func Certificates(ca *x509.CertPool) Authenticator {
	return func(r *http.Request) (User, bool, error) {
		if ca == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return User{}, false, nil
		}
		chain := r.TLS.PeerCertificates
		options := x509.VerifyOptions{
			Roots: ca, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		for _, c := range chain[1:] {
			options.Intermediates.AddCert(c)
		}
		if _, err := chain[0].Verify(options); err != nil {
			return User{}, false, fmt.Errorf("verifying the client certificate: %w", err)
		}
		who := chain[0].Subject
		return User{Name: who.CommonName, Groups: append(who.Organization, "system:authenticated")}, true, nil
	}
}

// Tokens authenticates by bearer tokens that the API server reviews.
func Tokens(c client.Interface, now func() time.Time) Authenticator {
	type verdict struct {
		user User
		ok   bool
	}
	seen := newMemory[[sha256.Size]byte, verdict](now)
	return func(r *http.Request) (User, bool, error) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" {
			return User{}, false, nil
		}
		key := sha256.Sum256([]byte(token))
		if v, ok := seen.get(key); ok {
			return v.user, v.ok, nil
		}
		obj, err := c.Write(r.Context(), client.Write{
			Verb: client.Create, Resource: kinds.TokenReviews(),
			Object: &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}},
		})
		if err != nil {
			return User{}, false, fmt.Errorf("asking for a token review: %w", err)
		}
		review, ok := obj.(*authenticationv1.TokenReview)
		if !ok {
			return User{}, false, fmt.Errorf("a token review was answered with a %T", obj)
		}
		v := verdict{ok: review.Status.Authenticated}
		u := review.Status.User
		v.user = User{Name: u.Username, UID: u.UID, Groups: u.Groups, Extra: map[string]authorizationv1.ExtraValue{}}
		for k, values := range u.Extra {
			v.user.Extra[k] = authorizationv1.ExtraValue(values)
		}
		seen.put(key, v, believeToken)
		return v.user, v.ok, nil
	}
}

// AnyOf tries authenticators in turn. A failure counts only when no other one vouches.
func AnyOf(all ...Authenticator) Authenticator {
	return func(r *http.Request) (User, bool, error) {
		var failure error
		for _, a := range all {
			u, ok, err := a(r)
			if ok {
				return u, true, nil
			}
			if err != nil {
				failure = err
			}
		}
		return User{}, false, failure
	}
}

// Reviews authorises by SubjectAccessReviews.
func Reviews(c client.Interface, node string, now func() time.Time) Authorizer {
	seen := newMemory[string, bool](now)
	return func(ctx context.Context, u User, verb, subresource string) (bool, error) {
		key := strings.Join(append([]string{u.Name, u.UID, verb, subresource}, u.Groups...), "\x00")
		if ok, known := seen.get(key); known {
			return ok, nil
		}
		obj, err := c.Write(ctx, client.Write{
			Verb: client.Create, Resource: kinds.SubjectAccessReviews(),
			Object: &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: u.Name, UID: u.UID, Groups: u.Groups, Extra: u.Extra,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: verb, Version: "v1", Resource: "nodes", Subresource: subresource, Name: node,
				},
			}},
		})
		if err != nil {
			return false, fmt.Errorf("asking for an access review: %w", err)
		}
		review, ok := obj.(*authorizationv1.SubjectAccessReview)
		if !ok {
			return false, fmt.Errorf("an access review was answered with a %T", obj)
		}
		life := believeDenied
		if review.Status.Allowed {
			life = believeAllowed
		}
		seen.put(key, review.Status.Allowed, life)
		return review.Status.Allowed, nil
	}
}

// memory keeps answers for a while. Safe for concurrent use.
type memory[K comparable, V any] struct {
	now func() time.Time
	mu  sync.Mutex
	of  map[K]remembered[V]
}

type remembered[V any] struct {
	value V
	until time.Time
}

// most answers that a memory keeps.
const most = 4096

func newMemory[K comparable, V any](now func() time.Time) *memory[K, V] {
	return &memory[K, V]{now: now, of: map[K]remembered[V]{}}
}

func (m *memory[K, V]) get(k K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.of[k]
	return r.value, ok && m.now().Before(r.until)
}

func (m *memory[K, V]) put(k K, v V, life time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.of) >= most {
		clear(m.of)
	}
	m.of[k] = remembered[V]{v, m.now().Add(life)}
}

// subresources returns what of the node a path is about, the finest first: any of them allows it.
func subresources(path string) []string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "stats":
		return []string{"stats"}
	case "metrics":
		return []string{"metrics"}
	case "logs":
		return []string{"log"}
	case "pods", "runningpods":
		return []string{"pods", "proxy"}
	case "healthz":
		return []string{"healthz", "proxy"}
	case "configz":
		return []string{"configz", "proxy"}
	}
	return []string{"proxy"}
}

// verb names a request's method as RBAC does.
func verb(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	default:
		return "get"
	}
}
