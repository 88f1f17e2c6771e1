package authn

import (
	"net/http"

	"coracle.dev/coracle/internal/apiserver/request"
)

// Authenticator looks at a request's credentials. ok is false when it carries none that this authenticator understands; an
// error means that it carries some and they are bad.
type Authenticator interface {
	Authenticate(r *http.Request) (user request.User, ok bool, err error)
}
