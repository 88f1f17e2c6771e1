package token

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/request"
)

// Identity is whom a token proves its bearer to be, and for which of the asked audiences.
type Identity struct {
	User      request.User
	Audiences []string
}

// Authenticator judges bearer tokens. ok is false for a token of a kind it does not know; an error means that the token is of
// its kind and bad. No audiences asked means the API server's own.
type Authenticator interface {
	AuthenticateToken(ctx context.Context, raw string, audiences []string) (id Identity, ok bool, err error)
}

// Names of the extra information that a service account's identity carries.
const (
	ExtraPodName      = "authentication.kubernetes.io/pod-name"
	ExtraPodUID       = "authentication.kubernetes.io/pod-uid"
	ExtraNodeName     = "authentication.kubernetes.io/node-name"
	ExtraNodeUID      = "authentication.kubernetes.io/node-uid"
	ExtraCredentialID = "authentication.kubernetes.io/credential-id"
)

// ServiceAccounts authenticates tokens of an Issuer against the objects they speak of.
type ServiceAccounts struct {
	issuer  *Issuer
	objects *lookup.Reader
}

// NewServiceAccounts returns an authenticator for the issuer's tokens.
func NewServiceAccounts(issuer *Issuer, objects *lookup.Reader) *ServiceAccounts {
	return &ServiceAccounts{issuer: issuer, objects: objects}
}

var errInvalidated = errors.New("service account token has been invalidated")

// AuthenticateToken implements Authenticator.
func (s *ServiceAccounts) AuthenticateToken(ctx context.Context, raw string, asked []string) (Identity, bool, error) {
	claims, audiences, ok, err := s.issuer.Verify(raw, asked)
	if err != nil || !ok {
		return Identity{}, false, err
	}
	if claims.Issuer == LegacyIssuer {
		if err := s.checkSecretToken(ctx, raw, claims); err != nil {
			return Identity{}, false, err
		}
		user := identity(claims.LegacyNamespace, claims.LegacyName, claims.LegacyUID)
		return Identity{User: user, Audiences: audiences}, true, nil
	}
	if err := s.checkBound(ctx, &claims.Kubernetes); err != nil {
		return Identity{}, false, err
	}
	return Identity{User: userOf(claims), Audiences: audiences}, true, nil
}

// checkBound makes sure that the service account and the object the token is bound to exist, with the same UIDs.
func (s *ServiceAccounts) checkBound(ctx context.Context, b *Bound) error {
	sa, err := s.find(ctx, kinds.ServiceAccounts(), b.Namespace, b.ServiceAccount)
	if err != nil {
		return fmt.Errorf("looking up service account of the token: %w", err)
	}
	if string(sa.GetUID()) != b.ServiceAccount.UID {
		return fmt.Errorf("service account UID (%s) does not match claim (%s)", sa.GetUID(), b.ServiceAccount.UID)
	}
	if s.gone(sa) {
		return fmt.Errorf("service account %s/%s has been deleted", b.Namespace, b.ServiceAccount.Name)
	}
	switch {
	case b.Secret != nil:
		return s.checkObject(ctx, kinds.Secrets(), "secret", b.Namespace, *b.Secret)
	case b.Pod != nil:
		return s.checkObject(ctx, kinds.Pods(), "pod", b.Namespace, *b.Pod)
	case b.Node != nil:
		return s.checkObject(ctx, kinds.Nodes(), "node", "", *b.Node)
	}
	return nil
}

func (s *ServiceAccounts) checkObject(
	ctx context.Context, gr schema.GroupResource, kind, namespace string, ref Reference,
) error {
	obj, err := s.find(ctx, gr, namespace, ref)
	if err != nil {
		return errInvalidated
	}
	if string(obj.GetUID()) != ref.UID {
		return fmt.Errorf("%s UID (%s) does not match service account %s ref claim (%s)", kind, obj.GetUID(), kind, ref.UID)
	}
	if s.gone(obj) {
		return errInvalidated
	}
	return nil
}

// find reads an object, from the store itself when the cache has one of another UID: the cache may be behind.
func (s *ServiceAccounts) find(
	ctx context.Context, gr schema.GroupResource, namespace string, ref Reference,
) (api.Object, error) {
	obj, err := s.objects.Get(ctx, gr, namespace, ref.Name)
	if err == nil && string(obj.GetUID()) != ref.UID {
		return s.objects.Fresh(ctx, gr, namespace, ref.Name)
	}
	return obj, err
}

// gone tells whether the object's time of deletion has passed by more than the leeway that clocks get.
func (s *ServiceAccounts) gone(obj metav1.Object) bool {
	at := obj.GetDeletionTimestamp()
	return at != nil && at.Time.Before(s.issuer.cfg.Now().Add(-jwt.DefaultLeeway))
}

// checkSecretToken makes sure that a Secret's token is still the one in the Secret, for the same service account.
func (s *ServiceAccounts) checkSecretToken(ctx context.Context, raw string, c *Claims) error {
	secret, err := lookup.Get[*corev1.Secret](ctx, s.objects, kinds.Secrets(), c.LegacyNamespace, c.LegacySecret)
	if err != nil || secret.DeletionTimestamp != nil ||
		subtle.ConstantTimeCompare(secret.Data[corev1.ServiceAccountTokenKey], []byte(raw)) != 1 {
		return errInvalidated
	}
	return s.checkBound(ctx, &Bound{
		Namespace: c.LegacyNamespace, ServiceAccount: Reference{Name: c.LegacyName, UID: c.LegacyUID},
	})
}

func identity(namespace, name, uid string) request.User {
	return request.User{
		Name:   MakeUsername(namespace, name),
		UID:    uid,
		Groups: []string{request.GroupServiceAccounts, request.GroupServiceAccounts + ":" + namespace},
	}
}

func userOf(c *Claims) request.User {
	user := identity(c.Kubernetes.Namespace, c.Kubernetes.ServiceAccount.Name, c.Kubernetes.ServiceAccount.UID)
	extra := map[string][]string{}
	add := func(name, value string) {
		if value != "" {
			extra[name] = []string{value}
		}
	}
	if c.ID != "" {
		add(ExtraCredentialID, "JTI="+c.ID)
	}
	if p := c.Kubernetes.Pod; p != nil {
		add(ExtraPodName, p.Name)
		add(ExtraPodUID, p.UID)
	}
	if n := c.Kubernetes.Node; n != nil {
		add(ExtraNodeName, n.Name)
		add(ExtraNodeUID, n.UID)
	}
	if len(extra) > 0 {
		user.Extra = extra
	}
	return user
}

// expiryOf returns when a token of that many seconds asked for now ends.
func expiryOf(now time.Time, seconds int64) time.Time {
	return now.Add(time.Duration(seconds) * time.Second)
}
