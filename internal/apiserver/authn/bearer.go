package authn

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/token"
)

// Tokens asks several token authenticators in turn. It is itself one.
type Tokens []token.Authenticator

// AuthenticateToken implements token.Authenticator. One success is enough; otherwise all that was wrong is reported.
func (t Tokens) AuthenticateToken(ctx context.Context, raw string, audiences []string) (token.Identity, bool, error) {
	var failed error
	for _, a := range t {
		id, ok, err := a.AuthenticateToken(ctx, raw, audiences)
		if ok {
			return id, true, nil
		}
		failed = errors.Join(failed, err)
	}
	return token.Identity{}, false, failed
}

// Bearer authenticates the bearer token of a request.
type Bearer struct {
	Tokens token.Authenticator
}

var errInvalidBearer = errors.New("invalid bearer token")

// Authenticate implements Authenticator. A bearer token that nobody knows is an error, not an anonymous call.
func (b *Bearer) Authenticate(r *http.Request) (request.User, bool, error) {
	raw, ok := bearerToken(r)
	if !ok {
		return request.User{}, false, nil
	}
	id, ok, err := b.Tokens.AuthenticateToken(r.Context(), raw, nil)
	switch {
	case ok:
		return id.User, true, nil
	case err != nil:
		return request.User{}, false, errors.Join(errInvalidBearer, err)
	}
	return request.User{}, false, errInvalidBearer
}

// bearerToken finds the token in the Authorization header, or in the subprotocols of a WebSocket, whose headers a browser
// cannot set.
func bearerToken(r *http.Request) (string, bool) {
	kind, raw, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if strings.EqualFold(kind, "bearer") {
		raw, _, _ = strings.Cut(strings.TrimSpace(raw), " ")
		return raw, raw != ""
	}
	return webSocketToken(r)
}

const webSocketPrefix = "base64url.bearer.authorization.k8s.io."

func webSocketToken(r *http.Request) (string, bool) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return "", false
	}
	for _, header := range r.Header.Values("Sec-WebSocket-Protocol") {
		for _, protocol := range strings.Split(header, ",") {
			encoded, ok := strings.CutPrefix(strings.TrimSpace(protocol), webSocketPrefix)
			if !ok {
				continue
			}
			raw, err := base64.RawURLEncoding.DecodeString(encoded)
			if err == nil && utf8.Valid(raw) && len(raw) > 0 {
				return string(raw), true
			}
		}
	}
	return "", false
}
