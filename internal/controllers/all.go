package controllers

import (
	"fmt"

	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/controllers/deployment"
	"coracle.dev/coracle/internal/controllers/disruption"
	"coracle.dev/coracle/internal/controllers/endpointslice"
	"coracle.dev/coracle/internal/controllers/garbagecollector"
	"coracle.dev/coracle/internal/controllers/job"
	"coracle.dev/coracle/internal/controllers/namespace"
	"coracle.dev/coracle/internal/controllers/nodeipam"
	"coracle.dev/coracle/internal/controllers/nodelifecycle"
	"coracle.dev/coracle/internal/controllers/podgc"
	"coracle.dev/coracle/internal/controllers/replicaset"
	"coracle.dev/coracle/internal/controllers/rootca"
	"coracle.dev/coracle/internal/controllers/serviceaccount"
	"coracle.dev/coracle/internal/controllers/tainteviction"
	"coracle.dev/coracle/internal/controllers/ttlafterfinished"
	"coracle.dev/coracle/internal/reconcile"
)

// Config is what the controllers need to be told.
type Config struct {
	// RootCA is the certificate (PEM) that pods verify the API server with.
	RootCA []byte
	// PodRanges are the cluster's pod addresses and how they are cut into nodes' parts: one, or one of each family. None: nodes
	// get no ranges from us.
	PodRanges []nodeipam.Range
	// Nodes says how nodes are judged.
	Nodes nodelifecycle.Config
	// Pods says which pods are collected.
	Pods podgc.Config
	// Clock defaults to the real one. Only ports need it.
	Clock clock.Clock
}

// All returns every controller, in the order in which they are described.
func All(cfg Config) ([]reconcile.Controller, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	all := []reconcile.Controller{
		deployment.New(),
		replicaset.New(),
		replicaset.NewReplicationController(),
		job.New(),
		ttlafterfinished.New(),
		disruption.New(),
		endpointslice.New(),
		endpointslice.NewEndpoints(),
		namespace.New(namespace.EmptyPort{}),
		garbagecollector.New(garbagecollector.OwnerPort{}),
		serviceaccount.New(),
		rootca.New(cfg.RootCA),
		nodelifecycle.NewHealth(cfg.Nodes),
		nodelifecycle.NewEviction(cfg.Nodes),
		tainteviction.New(),
		podgc.New(cfg.Pods, podgc.NewNodePort(cfg.Clock)),
	}
	if len(cfg.PodRanges) > 0 {
		ipam, err := nodeipam.New(cfg.PodRanges...)
		if err != nil {
			return nil, fmt.Errorf("pod ranges: %w", err)
		}
		all = append(all, ipam)
	}
	return all, nil
}
