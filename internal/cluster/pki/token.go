package pki

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	tokenPrefix    = "K10"
	tokenSeparator = "::"
	tokenAlphabet  = "abcdefghijklmnopqrstuvwxyz0123456789"
	idLength       = 6
	secretLength   = 16

	// BootstrappersGroup is the group of every bootstrap token's user.
	BootstrappersGroup = "system:bootstrappers"
	// JoinGroup is the extra group of join tokens: kubeadm's, whose members may ask for a node's certificate.
	JoinGroup = "system:bootstrappers:kubeadm:default-node-token"
)

// Token is what an agent needs to join: a bootstrap token of the usual form, and the hash of the cluster's authority, by
// which the agent knows that it talks to the right server before it tells it the secret.
type Token struct {
	// CAHash is the SHA-256 of the authority's certificate in hex; empty in a bare bootstrap token, which joins nothing
	// safely and is used only where the authority is known by other means.
	CAHash string
	ID     string
	Secret string
}

// NewToken makes a random bootstrap token without a hash.
func NewToken() (Token, error) {
	id, err := randomText(idLength)
	if err != nil {
		return Token{}, err
	}
	secret, err := randomText(secretLength)
	if err != nil {
		return Token{}, err
	}
	return Token{ID: id, Secret: secret}, nil
}

func randomText(n int) (string, error) {
	text := make([]byte, n)
	for i := range text {
		at, err := rand.Int(rand.Reader, big.NewInt(int64(len(tokenAlphabet))))
		if err != nil {
			return "", fmt.Errorf("making a token: %w", err)
		}
		text[i] = tokenAlphabet[at.Int64()]
	}
	return string(text), nil
}

// Bearer is the part that the API server knows: ID.SECRET.
func (t Token) Bearer() string { return t.ID + "." + t.Secret }

// String returns the whole token. It is a secret: print it only where the user asked for it.
func (t Token) String() string {
	if t.CAHash == "" {
		return t.Bearer()
	}
	return tokenPrefix + t.CAHash + tokenSeparator + t.Bearer()
}

// ParseToken reads K10HASH::ID.SECRET or ID.SECRET. Its errors never repeat the secret.
func ParseToken(text string) (Token, error) {
	var token Token
	if rest, ok := strings.CutPrefix(text, tokenPrefix); ok {
		hash, bearer, found := strings.Cut(rest, tokenSeparator)
		if !found || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(hash) {
			return Token{}, errors.New("the token does not have the form K10HASH::ID.SECRET")
		}
		token.CAHash, text = hash, bearer
	}
	match := regexp.MustCompile(`^([a-z0-9]{6})\.([a-z0-9]{16})$`).FindStringSubmatch(text)
	if match == nil {
		return Token{}, errors.New("the token does not end in ID.SECRET, six and sixteen small letters or digits")
	}
	token.ID, token.Secret = match[1], match[2]
	return token, nil
}

// Object returns the Secret of kube-system by which the API server knows the token. A zero expiry means that it never expires.
func (t Token) Object(expiry time.Time) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "bootstrap-token-" + t.ID},
		Type:       corev1.SecretTypeBootstrapToken,
		Data: map[string][]byte{
			"token-id":                       []byte(t.ID),
			"token-secret":                   []byte(t.Secret),
			"usage-bootstrap-authentication": []byte("true"),
			"auth-extra-groups":              []byte(JoinGroup),
			"description":                    []byte("lets agents join the cluster"),
		},
	}
	if !expiry.IsZero() {
		secret.Data["expiration"] = []byte(expiry.UTC().Format(time.RFC3339))
	}
	return secret
}
