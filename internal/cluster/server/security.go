package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/codec"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver"
	"coracle.dev/coracle/internal/apiserver/admission"
	"coracle.dev/coracle/internal/apiserver/alloc"
	"coracle.dev/coracle/internal/apiserver/authn"
	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/bootstrap"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/local"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/reviews"
	"coracle.dev/coracle/internal/apiserver/token"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/cluster/agent"
	"coracle.dev/coracle/internal/cluster/version"
	"coracle.dev/coracle/internal/store"
)

// security is how callers are identified, authorised and admitted.
type security struct {
	objects  *lookup.Reader
	nodes    *authz.Node
	rbac     *authz.RBAC
	issuer   *token.Issuer
	tokens   authn.Tokens
	clients  *x509.CertPool
	services *alloc.Services
	reader   *local.Client
	log      *slog.Logger
}

func storageCodec(r *api.Resource) store.Codec { return codec.StorageCodec(r) }

// newSecurity reads what it decides by through a chain of its own over the same store, which asks nobody's leave: the API
// server's own chain needs the decisions before it can serve.
func newSecurity(ctx context.Context, s *Server) (*security, error) {
	plain, err := chain.New(chain.Config{
		Store: s.store, Catalogue: s.catalogue, Codec: storageCodec, Now: time.Now, Rand: rand.IntN, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	reader := local.New(plain, request.User{Name: "system:apiserver", Groups: []string{request.GroupMasters}}, nil)
	sec := &security{objects: lookup.New(reader), reader: reader, log: s.log}
	rules, err := bootstrap.NodeRules()
	if err != nil {
		return nil, err
	}
	if sec.nodes, err = authz.NewNode(reader, rules); err != nil {
		return nil, err
	}
	if sec.rbac, err = authz.NewRBAC(reader); err != nil {
		return nil, err
	}
	keys, err := token.NewKeys(s.files.ServiceAccountKey)
	if err != nil {
		return nil, err
	}
	sec.issuer, err = token.NewIssuer(token.Config{
		Issuer: issuer(s.cfg.ClusterDomain), Keys: keys, Now: time.Now, NewID: func() string { return string(uuid.NewUUID()) },
	})
	if err != nil {
		return nil, err
	}
	sec.tokens = authn.Tokens{
		token.NewServiceAccounts(sec.issuer, sec.objects),
		authn.NewBootstrapTokens(sec.objects, sec.issuer.Audiences(), time.Now),
	}
	if sec.clients, err = agent.CertPool(s.files.CAFile); err != nil {
		return nil, err
	}
	sec.services, err = alloc.NewServices(ctx, alloc.Config{
		Store: s.store, Objects: sec.objects, Catalogue: s.catalogue, CIDRs: []netip.Prefix{s.cfg.ServiceCIDR},
		NodePorts: alloc.PortRange{First: s.cfg.NodePorts.First, Last: s.cfg.NodePorts.Last},
		Now:       time.Now, NewUID: func() types.UID { return uuid.NewUUID() },
	})
	return sec, err
}

// repair makes the allocated addresses and ports what the Services say, once; a crash or an older server may have left others.
func (sec *security) repair(ctx context.Context) error {
	cache, err := sec.reader.Cache(client.Selection{Resource: kinds.Services()})
	if err != nil {
		return err
	}
	report, err := sec.services.Repair(ctx, cache)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		sec.log.Error("service allocations were not repaired; they are at the next start", "error", err)
	default:
		sec.log.Debug("service allocations checked", "report", fmt.Sprintf("%+v", report))
	}
	<-ctx.Done()
	return nil
}

func issuer(domain string) string { return "https://kubernetes.default.svc." + domain }

// apiConfig is the API server's configuration but for its listener.
func (sec *security) apiConfig(s *Server) (apiserver.Config, error) {
	authorizer := authz.New(sec.nodes, sec.rbac)
	openID, err := token.NewDiscovery(sec.issuer, s.url()+token.KeysPath)
	if err != nil {
		return apiserver.Config{}, err
	}
	streams, err := s.streams()
	if err != nil {
		return apiserver.Config{}, err
	}
	return apiserver.Config{
		Store: s.store, Catalogue: s.catalogue, Codec: storageCodec,
		Authenticator: authn.New(authn.Config{
			Certificates: &authn.ClientCertificates{CAs: func() *x509.CertPool { return sec.clients }, Now: time.Now},
			Bearer:       &authn.Bearer{Tokens: sec.tokens},
			Anonymous:    true,
		}),
		Authorizer: authorizer,
		Admission: admission.Default(admission.Config{
			Objects: sec.objects, Authorizer: authorizer, RBAC: sec.rbac,
		}),
		Allocators: map[schema.GroupResource]alloc.Allocator{{Resource: "services"}: sec.services},
		Handlers:   sec.handlers(authorizer),
		Kubelet:    streams,
		Paths:      map[string]http.Handler{token.ConfigurationPath: openID, token.KeysPath: openID},
		Version:    version.Info(),
		Now:        time.Now,
		Rand:       rand.IntN,
		Logger:     s.log.With("part", "apiserver"),
	}, nil
}

// handlers answer the kinds that are questions and are never stored.
func (sec *security) handlers(authorizer authz.Authorizer) map[string]chain.Handler {
	access := reviews.NewAccess(authorizer)
	authentication := reviews.NewAuthentication(sec.tokens, time.Now)
	return map[string]chain.Handler{
		"serviceaccounts/token":                          token.NewRequests(sec.issuer, sec.objects).Create,
		"tokenreviews.authentication.k8s.io":             authentication.Token,
		"selfsubjectreviews.authentication.k8s.io":       authentication.SelfSubject,
		"subjectaccessreviews.authorization.k8s.io":      access.Subject,
		"selfsubjectaccessreviews.authorization.k8s.io":  access.SelfSubject,
		"localsubjectaccessreviews.authorization.k8s.io": access.LocalSubject,
		"selfsubjectrulesreviews.authorization.k8s.io":   reviews.NewRules(sec.rbac).SelfSubject,
	}
}
