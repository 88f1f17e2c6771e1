package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/bootstrap"
	"coracle.dev/coracle/internal/cluster/pki"
	"coracle.dev/coracle/internal/reconcile"
)

// bootstrap writes what a cluster must have before anyone can use it.
func (s *Server) bootstrap(ctx context.Context) error {
	ca, err := os.ReadFile(s.files.FrontProxyCAFile)
	if err != nil {
		return fmt.Errorf("reading the front proxy's authority: %w", err)
	}
	c := s.asMaster()
	err = bootstrap.Run(ctx, c, bootstrap.Config{
		ServiceCIDRs: []netip.Prefix{s.cfg.ServiceCIDR}, ServiceIP: s.cfg.ServiceCIDR.Masked().Addr().Next(),
		Servers: []netip.AddrPort{netip.AddrPortFrom(s.address(), uint16(s.cfg.SecurePort))}, URL: s.url(),
		ServingCA: s.files.CA.PEM(), ClientCA: s.files.CA.PEM(), FrontProxyCA: ca,
		FrontProxyNames: []string{"front-proxy-client"},
	})
	if err != nil {
		return err
	}
	token, err := s.ensureToken()
	if err != nil {
		return err
	}
	return bootstrap.Ensure(ctx, c, []api.Object{s.dnsService(), token.Object(time.Time{})})
}

// dnsService is the Service by whose address pods ask for names. Every node answers there itself, so it has no endpoints.
func (s *Server) dnsService() *corev1.Service {
	port := func(name string, protocol corev1.Protocol) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Protocol: protocol, Port: 53, TargetPort: intstr.FromInt32(53)}
	}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceSystem, Name: "kube-dns",
			Labels: map[string]string{
				"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
			},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: s.cfg.ClusterDNS.String(), Type: corev1.ServiceTypeClusterIP,
			Ports: []corev1.ServicePort{port("dns", corev1.ProtocolUDP), port("dns-tcp", corev1.ProtocolTCP)},
		},
	}
}

// ensureToken returns the token by which agents join: the configured one, the one of an earlier start, or a new one. The file has
// the whole token, with the authority's hash.
func (s *Server) ensureToken() (pki.Token, error) {
	path := s.cfg.Common.TokenFile()
	text := s.cfg.Token
	if text == "" && s.cfg.Agent.TokenFile != "" {
		path = s.cfg.Agent.TokenFile
	}
	if text == "" {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return pki.Token{}, fmt.Errorf("reading the join token: %w", err)
		}
		text = strings.TrimSpace(string(data))
	}
	token, err := pki.Token{}, error(nil)
	if text == "" {
		token, err = pki.NewToken()
	} else {
		token, err = pki.ParseToken(text)
	}
	if err != nil {
		return token, fmt.Errorf("join token in %s: %w", path, err)
	}
	token.CAHash = s.files.CA.Hash()
	return token, pki.WriteFile(s.cfg.Common.TokenFile(), []byte(token.String()+"\n"))
}

// ensureControllerRoles gives each controller's service account what the controller declares to read and write.
func (s *Server) ensureControllerRoles(ctx context.Context, list []reconcile.Controller) error {
	var objects []api.Object
	for _, r := range reconcile.Roles(list...) {
		objects = append(objects, r.Role, r.Binding)
	}
	return bootstrap.Ensure(ctx, s.asMaster(), objects)
}
