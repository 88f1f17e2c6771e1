package authn

import (
	"errors"
	"net/http"
	"slices"

	"coracle.dev/coracle/internal/apiserver/request"
)

// Config says which credentials are accepted. Nil members are left out.
type Config struct {
	// Certificates judges TLS client certificates.
	Certificates *ClientCertificates
	// FrontProxy believes a trusted proxy's headers.
	FrontProxy *FrontProxy
	// Bearer judges the token of the Authorization header, normally Tokens of several kinds.
	Bearer *Bearer
	// Anonymous lets callers without credentials in as system:anonymous.
	Anonymous bool
}

// New returns the authenticator of a whole server: the configured ones in upstream's order, the group system:authenticated for
// everyone they know, and the anonymous user for callers that show no credentials at all. Bad credentials stay an error: they
// never make a caller anonymous.
func New(cfg Config) Authenticator {
	var list union
	if cfg.FrontProxy != nil {
		list = append(list, cfg.FrontProxy)
	}
	if cfg.Certificates != nil {
		list = append(list, cfg.Certificates)
	}
	if cfg.Bearer != nil {
		list = append(list, cfg.Bearer)
	}
	return &whole{known: list, anonymous: cfg.Anonymous}
}

type whole struct {
	known     union
	anonymous bool
}

func (w *whole) Authenticate(r *http.Request) (request.User, bool, error) {
	user, ok, err := w.known.Authenticate(r)
	switch {
	case ok:
		return withAuthenticated(user), true, nil
	case err != nil:
		return request.User{}, false, err
	case w.anonymous:
		return request.User{Name: request.Anonymous, Groups: []string{request.GroupUnauthenticated}}, true, nil
	}
	return request.User{}, false, nil
}

// withAuthenticated adds the group that every known user is in, but not to one who came as anonymous through a proxy.
func withAuthenticated(user request.User) request.User {
	if user.InGroup(request.GroupAuthenticated) || user.InGroup(request.GroupUnauthenticated) || user.Name == request.Anonymous {
		return user
	}
	user.Groups = append(slices.Clip(user.Groups), request.GroupAuthenticated)
	return user
}

// union asks each in turn. One success is enough; when nobody knows the caller, what was wrong is reported together.
type union []Authenticator

func (u union) Authenticate(r *http.Request) (request.User, bool, error) {
	var failed error
	for _, a := range u {
		user, ok, err := a.Authenticate(r)
		if ok {
			return user, true, nil
		}
		failed = errors.Join(failed, err)
	}
	return request.User{}, false, failed
}
