package server

import (
	"crypto/tls"
	"fmt"

	"coracle.dev/coracle/internal/apiserver/proxy"
	"coracle.dev/coracle/internal/cluster/agent"
)

// streams leads logs, exec and the like to the nodes, as a client that every node knows.
func (s *Server) streams() (*proxy.Config, error) {
	pool, err := agent.CertPool(s.files.CAFile)
	if err != nil {
		return nil, err
	}
	certificate := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(s.files.KubeletClient.CertFile, s.files.KubeletClient.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("loading the certificate for nodes: %w", err)
		}
		return &pair, nil
	}
	return &proxy.Config{
		NodeTLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, GetClientCertificate: certificate},
		Logger:  s.log.With("part", "proxy"),
	}, nil
}
