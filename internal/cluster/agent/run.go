package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"

	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/client/remote"
	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/join"
	"coracle.dev/coracle/internal/cluster/lifecycle"
	"coracle.dev/coracle/internal/cluster/pki"
	"coracle.dev/coracle/internal/cluster/version"
)

// Run joins a cluster and runs a node until ctx ends. Containers run on afterwards.
func Run(ctx context.Context, cfg *config.Agent, log *slog.Logger) (err error) {
	if err := EnsureAddress(cfg); err != nil {
		return err
	}
	stack := lifecycle.New(log)
	defer func() { err = errors.Join(err, stack.Stop()) }()
	n, err := StartRuntime(ctx, stack, Options{Agent: cfg, Log: log})
	if err != nil {
		return err
	}
	starting, done := stack.Within(ctx)
	defer done()
	token, err := joinToken(cfg)
	if err != nil {
		return err
	}
	member, err := join.Join(starting, join.Options{
		Server: cfg.Server, Token: token, Dir: cfg.AgentPKIDir(), NodeName: cfg.NodeName,
	}, log)
	if err != nil {
		return err
	}
	stack.Start(ctx, "client certificate", member.Client.Run)
	id, err := identity(ctx, stack, cfg, member, log)
	if err != nil {
		return err
	}
	if err := n.Start(ctx, stack, id); err != nil {
		return err
	}
	log.Info("node started", "node", cfg.NodeName, "server", cfg.Server)
	return stack.Wait(ctx)
}

func joinToken(cfg *config.Agent) (string, error) {
	file := cfg.TokenFile
	if cfg.Token != "" {
		return cfg.Token, nil
	}
	if file == "" {
		file = cfg.AgentTokenFile()
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) && cfg.TokenFile == "" {
		return "", nil // a member needs none
	}
	if err != nil {
		return "", fmt.Errorf("reading the join token: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// identity makes the client and certificates of a member.
func identity(
	ctx context.Context, stack *lifecycle.Stack, cfg *config.Agent, member *join.Member, log *slog.Logger,
) (Identity, error) {
	catalogue, err := builtin.New()
	if err != nil {
		return Identity{}, err
	}
	ca, err := os.ReadFile(member.CAFile)
	if err != nil {
		return Identity{}, fmt.Errorf("reading the cluster's authority: %w", err)
	}
	c, err := remote.New(remote.Config{
		URL: cfg.Server, CA: ca, CertFile: member.CertFile(), KeyFile: member.CertFile(), Catalogue: catalogue,
		UserAgent: "kubelet/" + version.Release, Clock: clock.RealClock{}, Jitter: rand.Float64,
		Logger: log.With("part", "client"),
	})
	if err != nil {
		return Identity{}, err
	}
	stack.Start(ctx, "client", c.Run)
	serving, err := member.Serving(join.ServingRequest(pki.KubeletServingLeaf(cfg.NodeName, []netip.Addr{cfg.NodeIP})))
	if err != nil {
		return Identity{}, err
	}
	stack.Start(ctx, "serving certificate", serving.Run)
	pool, err := CertPool(member.CAFile)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Client: c, ServingCert: serving.GetCertificate, ClientCA: pool}, nil
}
