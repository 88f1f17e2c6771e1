package token

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// Paths of the documents by which others verify this cluster's tokens (OpenID Connect discovery).
const (
	ConfigurationPath = "/.well-known/openid-configuration"
	KeysPath          = "/openid/v1/jwks"
)

// Discovery serves both documents. They are made once and never change.
type Discovery struct {
	configuration, keys []byte
}

// NewDiscovery makes the documents. keysURL is where others reach KeysPath, an https URL.
func NewDiscovery(issuer *Issuer, keysURL string) (*Discovery, error) {
	var used []string
	for _, key := range issuer.cfg.Keys.public {
		if !contains(used, key.Algorithm) {
			used = append(used, key.Algorithm)
		}
	}
	configuration, err := json.Marshal(map[string]any{
		"issuer":                                issuer.cfg.Issuer,
		"jwks_uri":                              keysURL,
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": used,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding OpenID configuration: %w", err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: issuer.cfg.Keys.public})
	if err != nil {
		return nil, fmt.Errorf("encoding token verification keys: %w", err)
	}
	return &Discovery{configuration: configuration, keys: keys}, nil
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// ServeHTTP answers GET and HEAD on the two paths.
func (d *Discovery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, kind := d.configuration, "application/json"
	switch r.URL.Path {
	case ConfigurationPath, ConfigurationPath + "/":
	case KeysPath, KeysPath + "/":
		body, kind = d.keys, "application/jwk-set+json"
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(body) // the caller is gone when this fails
}
