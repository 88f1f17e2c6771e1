package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
)

// Config is the token side of a server's configuration.
type Config struct {
	// Issuer is the "iss" of new tokens, an https URL.
	Issuer string
	// FurtherIssuers are believed too: former names of this cluster.
	FurtherIssuers []string
	// Audiences are the API server's own: the default of new tokens, and one of them must be in a token presented to it.
	// Empty means the issuer.
	Audiences []string
	Keys      *Keys
	// MaxExpiration caps the life of new tokens. 0: no cap.
	MaxExpiration time.Duration
	Now           func() time.Time
	// NewID returns a fresh, unguessable token ID (a UUID).
	NewID func() string
}

// Issuer signs tokens and reads them back. Safe for concurrent use.
type Issuer struct {
	cfg      Config
	verified verifiedTokens
}

// NewIssuer checks the configuration and returns an issuer.
func NewIssuer(cfg Config) (*Issuer, error) {
	switch {
	case cfg.Issuer == "":
		return nil, errors.New("service account tokens need an issuer")
	case cfg.Keys == nil:
		return nil, errors.New("service account tokens need a key")
	case cfg.Now == nil || cfg.NewID == nil:
		return nil, errors.New("service account tokens need a clock and a source of IDs")
	}
	if len(cfg.Audiences) == 0 {
		cfg.Audiences = []string{cfg.Issuer}
	}
	return &Issuer{cfg: cfg}, nil
}

// Audiences returns the API server's own audiences. Not to be changed.
func (i *Issuer) Audiences() []string { return i.cfg.Audiences }

// Sign makes a token of the claims, which must have their times set. Issuer and ID are filled in.
func (i *Issuer) Sign(claims Claims) (string, error) {
	if claims.Issuer == "" {
		claims.Issuer = i.cfg.Issuer
	}
	if claims.ID == "" && claims.Issuer != LegacyIssuer {
		claims.ID = i.cfg.NewID()
	}
	builder := jwt.Signed(i.cfg.Keys.signer).Claims(claims)
	if len(claims.Audience) > 0 {
		// The library writes a single audience as a string; upstream's tokens always have a list.
		builder = builder.Claims(map[string]any{"aud": []string(claims.Audience)})
	}
	signed, err := builder.Serialize()
	if err != nil {
		return "", fmt.Errorf("signing service account token: %w", err)
	}
	return signed, nil
}

// SignSecret makes the token that a Secret of type kubernetes.io/service-account-token holds. It has no expiry and ends with
// its Secret.
func (i *Issuer) SignSecret(sa *corev1.ServiceAccount, secret *corev1.Secret) (string, error) {
	return i.Sign(secretClaims(sa, secret))
}

func secretClaims(sa *corev1.ServiceAccount, secret *corev1.Secret) Claims {
	return Claims{
		Claims:          jwt.Claims{Issuer: LegacyIssuer, Subject: MakeUsername(sa.Namespace, sa.Name)},
		LegacyNamespace: sa.Namespace, LegacySecret: secret.Name, LegacyName: sa.Name, LegacyUID: string(sa.UID),
	}
}

// Verify checks a token's form, issuer, signature, times and audiences (the asked ones; the API server's own when there are
// none) and returns its claims with the audiences it shares with the asked ones. ok is false for something that is no token of
// this cluster; an error says what is wrong with one that claims to be. Whether what it is bound to exists is not asked.
func (i *Issuer) Verify(raw string, asked []string) (claims *Claims, audiences []string, ok bool, err error) {
	if !i.ours(raw) {
		return nil, nil, false, nil
	}
	key := sha256.Sum256([]byte(raw))
	claims = i.verified.get(key)
	if claims == nil {
		if claims, err = i.parse(raw); err != nil {
			return nil, nil, false, err
		}
		i.verified.put(key, claims)
	}
	if err := i.inTime(claims); err != nil {
		return nil, nil, false, err
	}
	if len(asked) == 0 {
		asked = i.cfg.Audiences
	}
	has := []string(claims.Audience)
	if len(has) == 0 {
		has = i.cfg.Audiences // tokens of Secrets are for the API server
	}
	for _, a := range has {
		if slices.Contains(asked, a) {
			audiences = append(audiences, a)
		}
	}
	if len(audiences) == 0 {
		return nil, nil, false, fmt.Errorf("token audiences %q is invalid for the target audiences %q", has, asked)
	}
	return claims, audiences, true, nil
}

// ours looks at the unverified issuer, so that other authenticators may have their own JWTs.
func (i *Issuer) ours(raw string) bool {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var unverified struct {
		Issuer string `json:"iss"`
	}
	return json.Unmarshal(payload, &unverified) == nil && i.believes(unverified.Issuer)
}

func (i *Issuer) believes(issuer string) bool {
	return issuer == i.cfg.Issuer || issuer == LegacyIssuer || slices.Contains(i.cfg.FurtherIssuers, issuer)
}

// parse verifies the signature and decodes the claims.
func (i *Issuer) parse(raw string) (*Claims, error) {
	parsed, err := jwt.ParseSigned(raw, algorithms())
	if err != nil {
		return nil, fmt.Errorf("parsing service account token: %w", err)
	}
	id := ""
	if len(parsed.Headers) > 0 {
		id = parsed.Headers[0].KeyID
	}
	candidates := i.cfg.Keys.candidates(id)
	if len(candidates) == 0 {
		return nil, errors.New("invalid signature, no keys found")
	}
	var failed error
	for _, key := range candidates {
		claims := &Claims{}
		if err := parsed.Claims(key.Key, claims); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if !i.believes(claims.Issuer) {
			return nil, fmt.Errorf("token issuer %q is invalid", claims.Issuer)
		}
		return claims, completeness(claims)
	}
	return nil, failed
}

// completeness refuses signed tokens that would speak for nobody or for ever: only what the issuer writes is believed.
func completeness(c *Claims) error {
	if c.Issuer == LegacyIssuer {
		if c.LegacyNamespace == "" || c.LegacyName == "" || c.LegacyUID == "" || c.LegacySecret == "" {
			return errors.New("service account token lacks a claim of its service account")
		}
		if c.Subject != MakeUsername(c.LegacyNamespace, c.LegacyName) {
			return errors.New("subject of service account token does not match its claims")
		}
		return nil
	}
	k := &c.Kubernetes
	switch {
	case k.Namespace == "" || k.ServiceAccount.Name == "" || k.ServiceAccount.UID == "":
		return errors.New("service account token lacks a claim of its service account")
	case c.Subject != MakeUsername(k.Namespace, k.ServiceAccount.Name):
		return errors.New("subject of service account token does not match its claims")
	case c.Expiry == nil:
		return errors.New("service account token has no expiry")
	}
	return nil
}

func (i *Issuer) inTime(c *Claims) error {
	err := c.Validate(jwt.Expected{Time: i.cfg.Now()})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrExpired):
		return errors.New("service account token has expired")
	case errors.Is(err, jwt.ErrNotValidYet):
		return errors.New("service account token is not valid yet")
	case errors.Is(err, jwt.ErrIssuedInTheFuture):
		return errors.New("service account token is issued in the future")
	}
	return fmt.Errorf("service account token claims could not be validated: %w", err)
}

// verifiedTokens remembers tokens whose signature was found good, by their hash. Two generations bound it: when the young one
// is full it becomes the old one, and what is asked for again moves back.
type verifiedTokens struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]*Claims
}

const verifiedGeneration = 4096

func (v *verifiedTokens) get(key [sha256.Size]byte) *Claims {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c, ok := v.young[key]; ok {
		return c
	}
	c := v.old[key]
	if c != nil {
		v.putLocked(key, c)
	}
	return c
}

func (v *verifiedTokens) put(key [sha256.Size]byte, c *Claims) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.putLocked(key, c)
}

func (v *verifiedTokens) putLocked(key [sha256.Size]byte, c *Claims) {
	if len(v.young) >= verifiedGeneration {
		v.old, v.young = v.young, nil
	}
	if v.young == nil {
		v.young = make(map[[sha256.Size]byte]*Claims)
	}
	v.young[key] = c
}
