package authn

import (
	"context"
	"crypto/subtle"
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/token"
)

// Names of bootstrap tokens, as upstream and kubeadm have them.
const (
	BootstrapSecretType   = corev1.SecretType("bootstrap.kubernetes.io/token")
	BootstrapSecretPrefix = "bootstrap-token-"
	BootstrapUserPrefix   = "system:bootstrap:"
	BootstrapGroup        = "system:bootstrappers"
)

// BootstrapTokens authenticates the tokens with which new nodes join: "id.secret", kept in Secrets in kube-system.
type BootstrapTokens struct {
	objects   *lookup.Reader
	audiences []string
	now       func() time.Time
	form      *regexp.Regexp
	group     *regexp.Regexp
}

// NewBootstrapTokens returns an authenticator for bootstrap tokens, which are good for the given audiences (the API server's).
func NewBootstrapTokens(objects *lookup.Reader, audiences []string, now func() time.Time) *BootstrapTokens {
	return &BootstrapTokens{
		objects: objects, audiences: audiences, now: now,
		form:  regexp.MustCompile(`\A([a-z0-9]{6})\.([a-z0-9]{16})\z`),
		group: regexp.MustCompile(`\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z`),
	}
}

// AuthenticateToken implements token.Authenticator.
func (b *BootstrapTokens) AuthenticateToken(ctx context.Context, raw string, asked []string) (token.Identity, bool, error) {
	parts := b.form.FindStringSubmatch(raw)
	if parts == nil {
		return token.Identity{}, false, nil
	}
	id, secret := parts[1], parts[2]
	kept, err := lookup.Get[*corev1.Secret](ctx, b.objects, kinds.Secrets(), "kube-system",
		BootstrapSecretPrefix+id)
	if apierrors.IsNotFound(err) {
		return token.Identity{}, false, nil
	}
	if err != nil {
		return token.Identity{}, false, fmt.Errorf("looking up bootstrap token: %w", err)
	}
	if !b.good(kept, id, secret) {
		return token.Identity{}, false, nil
	}
	groups, err := b.groups(kept)
	if err != nil {
		return token.Identity{}, false, err
	}
	audiences := shared(b.audiences, asked)
	if len(audiences) == 0 && len(asked) > 0 {
		return token.Identity{}, false, nil
	}
	user := request.User{Name: BootstrapUserPrefix + id, Groups: groups}
	return token.Identity{User: user, Audiences: audiences}, true, nil
}

// good tells whether the Secret holds this very token and allows its use now.
func (b *BootstrapTokens) good(kept *corev1.Secret, id, secret string) bool {
	same := subtle.ConstantTimeCompare(kept.Data["token-secret"], []byte(secret)) == 1
	return same && kept.Type == BootstrapSecretType && kept.DeletionTimestamp == nil &&
		string(kept.Data["token-id"]) == id &&
		string(kept.Data["usage-bootstrap-authentication"]) == "true" &&
		!BootstrapTokenExpired(kept, b.now())
}

// BootstrapTokenExpired tells whether a token Secret has run out. A time that cannot be read counts as past.
func BootstrapTokenExpired(secret *corev1.Secret, now time.Time) bool {
	text := string(secret.Data["expiration"])
	if text == "" {
		return false
	}
	at, err := time.Parse(time.RFC3339, text)
	return err != nil || !now.Before(at)
}

func (b *BootstrapTokens) groups(kept *corev1.Secret) ([]string, error) {
	groups := []string{BootstrapGroup}
	text := string(kept.Data["auth-extra-groups"])
	if text == "" {
		return groups, nil
	}
	for _, group := range strings.Split(text, ",") {
		if !b.group.MatchString(group) {
			return nil, fmt.Errorf("bootstrap token %s has the bad group %q, which must match %s", kept.Name, group, b.group)
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// shared returns the audiences in both lists; all of has when none were asked for.
func shared(has, asked []string) []string {
	if len(asked) == 0 {
		return has
	}
	var both []string
	for _, a := range has {
		for _, b := range asked {
			if a == b {
				both = append(both, a)
				break
			}
		}
	}
	return both
}
