package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Keys holds the key that signs new tokens and every key whose tokens are believed. Immutable.
type Keys struct {
	signer    jose.Signer
	algorithm jose.SignatureAlgorithm
	public    []jose.JSONWebKey
}

// algorithms are all that a token may be signed with. Anything else ("none" and the HMACs above all) is refused while parsing.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.ES512}
}

// NewKeys makes a key set that signs with the given RSA or ECDSA key and believes tokens of it and of the further public keys.
// To rotate, start every server with the new public key among the further ones, then sign with the new key and keep the old
// one among the further ones until its last token has expired.
func NewKeys(signing crypto.Signer, further ...crypto.PublicKey) (*Keys, error) {
	keys := &Keys{}
	for _, public := range append([]crypto.PublicKey{signing.Public()}, further...) {
		jwk, err := publicJWK(public)
		if err != nil {
			return nil, err
		}
		if !keys.has(jwk.KeyID) {
			keys.public = append(keys.public, jwk)
		}
	}
	first := keys.public[0]
	keys.algorithm = jose.SignatureAlgorithm(first.Algorithm)
	private := jose.JSONWebKey{Key: signing, KeyID: first.KeyID, Algorithm: first.Algorithm, Use: "sig"}
	var err error
	keys.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: keys.algorithm, Key: private}, nil)
	if err != nil {
		return nil, fmt.Errorf("making token signer: %w", err)
	}
	return keys, nil
}

func (k *Keys) has(id string) bool {
	for _, key := range k.public {
		if key.KeyID == id {
			return true
		}
	}
	return false
}

// candidates returns the keys that may have signed a token naming the key ID; all of them when it names none.
func (k *Keys) candidates(id string) []jose.JSONWebKey {
	if id == "" {
		return k.public
	}
	for i := range k.public {
		if k.public[i].KeyID == id {
			return k.public[i : i+1]
		}
	}
	return nil
}

// publicJWK describes a public key. Its ID is, as upstream's, the hash of its DER form: the same on every server, and of no
// use to one who would guess the key from it.
func publicJWK(public crypto.PublicKey) (jose.JSONWebKey, error) {
	algorithm, err := algorithmFor(public)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("encoding public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return jose.JSONWebKey{
		Key: public, KeyID: base64.RawURLEncoding.EncodeToString(sum[:]), Algorithm: string(algorithm), Use: "sig",
	}, nil
}

func algorithmFor(public crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return jose.RS256, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return jose.ES256, nil
		case elliptic.P384():
			return jose.ES384, nil
		case elliptic.P521():
			return jose.ES512, nil
		}
		return "", errors.New("an ECDSA key for tokens must be on curve P-256, P-384 or P-521")
	}
	return "", fmt.Errorf("a key for tokens must be RSA or ECDSA, not %T", public)
}

// ParsePrivateKey reads the first private key of PEM data: PKCS #1 (RSA), SEC 1 (EC) or PKCS #8.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		key, found, err := privateKey(block)
		if err != nil {
			return nil, fmt.Errorf("parsing PEM block %q: %w", block.Type, err)
		}
		if found {
			return key, nil
		}
	}
	return nil, errors.New("no private key found in PEM data")
}

func privateKey(block *pem.Block) (crypto.Signer, bool, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		return key, true, err
	case "EC PRIVATE KEY":
		key, err := x509.ParseECPrivateKey(block.Bytes)
		return key, true, err
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, true, err
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, true, fmt.Errorf("key type %T cannot sign", key)
		}
		return signer, true, nil
	}
	return nil, false, nil
}

// ParsePublicKeys reads every key of PEM data: public keys, certificates, and the public halves of private keys.
func ParsePublicKeys(data []byte) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		key, err := publicKey(block)
		if err != nil {
			return nil, fmt.Errorf("parsing PEM block %q: %w", block.Type, err)
		}
		if key == nil {
			continue
		}
		if _, err := algorithmFor(key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key found in PEM data")
	}
	return keys, nil
}

// publicKey returns nil for blocks that hold no key (EC PARAMETERS).
func publicKey(block *pem.Block) (crypto.PublicKey, error) {
	if private, found, err := privateKey(block); found {
		if err != nil {
			return nil, err
		}
		return private.Public(), nil
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	return nil, nil // "no key here" is no error: PEM files mix block types
}
