package token

import (
	"github.com/go-jose/go-jose/v4/jwt"
)

// Reference names an object by name and UID.
type Reference struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
}

// Bound says whom a token speaks for and which objects must exist for it to be good: the "kubernetes.io" claim.
type Bound struct {
	Namespace      string    `json:"namespace,omitempty"`
	ServiceAccount Reference `json:"serviceaccount"`
	// At most one of Pod, Secret and Node binds the token. Node beside Pod is only information.
	Pod    *Reference `json:"pod,omitempty"`
	Secret *Reference `json:"secret,omitempty"`
	Node   *Reference `json:"node,omitempty"`
	// WarnAfter is set by upstream servers on tokens whose life they extended. It is kept and means nothing here.
	WarnAfter *jwt.NumericDate `json:"warnafter,omitempty"`
}

// Claims is what a token says.
type Claims struct {
	jwt.Claims
	Kubernetes Bound `json:"kubernetes.io"`

	// The claims of tokens kept in Secrets of type kubernetes.io/service-account-token; they do not expire.
	LegacyNamespace string `json:"kubernetes.io/serviceaccount/namespace,omitempty"`
	LegacySecret    string `json:"kubernetes.io/serviceaccount/secret.name,omitempty"`
	LegacyName      string `json:"kubernetes.io/serviceaccount/service-account.name,omitempty"`
	LegacyUID       string `json:"kubernetes.io/serviceaccount/service-account.uid,omitempty"`
}

// LegacyIssuer is the issuer of tokens kept in Secrets.
const LegacyIssuer = "kubernetes/serviceaccount"

// MakeUsername returns the user name of a service account.
func MakeUsername(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}
