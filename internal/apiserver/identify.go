package apiserver

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/apiserver/request"
)

type userKey struct{}

// identify establishes the caller of a request.
func (s *Server) identify(r *http.Request) (request.User, error) {
	if user, ok := r.Context().Value(userKey{}).(request.User); ok {
		return user, nil // an in-process request
	}
	anonymous := request.User{Name: request.Anonymous, Groups: []string{request.GroupUnauthenticated}}
	if s.cfg.Authenticator == nil {
		return anonymous, nil
	}
	user, ok, err := s.cfg.Authenticator.Authenticate(r)
	switch {
	case err != nil:
		s.log.Debug("authentication failed", "path", r.URL.Path, "error", err)
		return request.User{}, err
	case !ok:
		return request.User{}, errors.New("no credentials")
	}
	// What has been used to identify the caller goes no further.
	r.Header.Del("Authorization")
	return user, nil
}

// Headers of impersonation.
const (
	impersonateUser  = "Impersonate-User"
	impersonateUID   = "Impersonate-Uid"
	impersonateGroup = "Impersonate-Group"
	impersonateExtra = "Impersonate-Extra-"
)

// impersonate makes the call that of another user where the headers ask so and the caller may.
func (s *Server) impersonate(r *http.Request, a *request.Attributes) error {
	wanted, asked, err := impersonated(r.Header)
	if err != nil || !asked {
		return err
	}
	real := a.User
	for _, act := range impersonationActs(&wanted) {
		act.User = real
		if err := s.chain.Authorize(r.Context(), &act); err != nil {
			return err
		}
	}
	withDefaultGroups(&wanted)
	a.User = wanted
	for name := range r.Header {
		if strings.HasPrefix(name, "Impersonate-") {
			r.Header.Del(name)
		}
	}
	return nil
}

// impersonated reads the headers of impersonation.
func impersonated(h http.Header) (request.User, bool, error) {
	u := request.User{Name: h.Get(impersonateUser), UID: h.Get(impersonateUID), Groups: h.Values(impersonateGroup)}
	for name, values := range h {
		key, ok := strings.CutPrefix(name, impersonateExtra)
		if !ok {
			continue
		}
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		key = strings.ToLower(key)
		if plain, err := url.PathUnescape(key); err == nil {
			key = plain
		}
		u.Extra[key] = append(u.Extra[key], values...)
	}
	if u.Name == "" {
		if u.UID != "" || len(u.Groups) > 0 || len(u.Extra) > 0 {
			return u, false, apierrors.NewInternalError(errors.New("requested [{...}] without impersonating a user"))
		}
		return u, false, nil
	}
	return u, true, nil
}

// impersonationActs are the calls that the caller must be allowed.
func impersonationActs(u *request.User) []request.Attributes {
	act := func(group, resource, sub, namespace, name string) request.Attributes {
		return request.Attributes{
			Verb: "impersonate", IsResource: true, Group: group, Version: "v1", Resource: resource, Subresource: sub,
			Namespace: namespace, Name: name,
		}
	}
	var out []request.Attributes
	if namespace, name, ok := u.ServiceAccount(); ok {
		out = append(out, act("", "serviceaccounts", "", namespace, name))
	} else {
		out = append(out, act("", "users", "", "", u.Name))
	}
	for _, g := range u.Groups {
		out = append(out, act("", "groups", "", "", g))
	}
	const authentication = "authentication.k8s.io"
	for key, values := range u.Extra {
		for _, v := range values {
			out = append(out, act(authentication, "userextras", key, "", v))
		}
	}
	if u.UID != "" {
		out = append(out, act(authentication, "uids", "", "", u.UID))
	}
	return out
}

// withDefaultGroups gives an impersonated user the groups that it would have had.
func withDefaultGroups(u *request.User) {
	if namespace, _, ok := u.ServiceAccount(); ok && len(u.Groups) == 0 {
		u.Groups = []string{request.GroupServiceAccounts, request.GroupServiceAccounts + ":" + namespace}
	}
	standing := request.GroupAuthenticated
	if u.Name == request.Anonymous {
		standing = request.GroupUnauthenticated
	}
	if !u.InGroup(request.GroupAuthenticated) && !u.InGroup(request.GroupUnauthenticated) {
		u.Groups = append(u.Groups, standing)
	}
}
