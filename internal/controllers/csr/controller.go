package csr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/client"
)

func requests() schema.GroupResource {
	return schema.GroupResource{Group: certificatesv1.GroupName, Resource: "certificatesigningrequests"}
}

// Controller approves and signs requests as they come.
type Controller struct {
	Client client.Interface
	CA     *Authority
	Now    func() time.Time
	Logger *slog.Logger
	// Retry is how long a request that could not be written waits; 0: a second.
	Retry time.Duration
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	csrs, err := c.Client.Cache(client.Selection{Resource: requests()})
	if err != nil {
		return fmt.Errorf("opening cache of certificate requests: %w", err)
	}
	nodes, err := c.Client.Cache(client.Selection{Resource: schema.GroupResource{Resource: "nodes"}})
	if err != nil {
		return fmt.Errorf("opening cache of nodes: %w", err)
	}
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	for _, cache := range []client.Cache{csrs, nodes} {
		go func() { ended <- notify(ctx, cache, wake) }()
	}
	again := time.NewTimer(0)
	again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-again.C:
		case <-wake:
		}
		if c.pass(ctx, csrs, nodes) {
			again.Reset(c.retry())
		}
	}
}

func (c *Controller) retry() time.Duration {
	if c.Retry > 0 {
		return c.Retry
	}
	return time.Second
}

// notify fills wake whenever the cache changes.
func notify(ctx context.Context, cache client.Cache, wake chan<- struct{}) error {
	_, stream := cache.Follow()
	defer stream.Close()
	for {
		if _, err := stream.Next(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("following certificate requests and nodes: %w", err)
		}
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// pass looks at every request once and tells whether one must be tried again.
func (c *Controller) pass(ctx context.Context, csrs, nodes client.Cache) (again bool) {
	for obj := range csrs.Snapshot().All("") {
		csr, ok := obj.(*certificatesv1.CertificateSigningRequest)
		if !ok {
			continue
		}
		if err := c.handle(ctx, csr, nodes.Snapshot()); err != nil {
			if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || ctx.Err() != nil {
				continue // its change wakes us again
			}
			c.Logger.Error("handling certificate request", "kind", "CertificateSigningRequest", "name", csr.Name, "error", err)
			again = true
		}
	}
	return again
}

func (c *Controller) handle(ctx context.Context, csr *certificatesv1.CertificateSigningRequest, nodes client.Snapshot) error {
	if ready(csr) && Signs(csr.Spec.SignerName) {
		return c.sign(ctx, csr)
	}
	var node *corev1.Node
	if name := NodeOf(csr); name != "" {
		if obj, ok := nodes.Get("", name); ok {
			node, _ = obj.(*corev1.Node)
		}
	}
	d := Decide(csr, node)
	switch d.Verdict {
	case Approve:
		return c.approve(ctx, csr, d.Message)
	case Ask:
		for _, subresource := range d.Permissions {
			allowed, err := c.allowed(ctx, csr, subresource)
			if err != nil {
				return err
			}
			if allowed {
				return c.approve(ctx, csr, d.Message)
			}
		}
	case Ignore, Wait:
	}
	return nil
}

// allowed asks the API server whether the requester may have such a certificate.
func (c *Controller) allowed(
	ctx context.Context, csr *certificatesv1.CertificateSigningRequest, subresource string,
) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: csr.Spec.Username, UID: csr.Spec.UID, Groups: csr.Spec.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: certificatesv1.GroupName, Version: "*", Resource: "certificatesigningrequests", Subresource: subresource,
			Verb: "create",
		},
	}}
	for key, values := range csr.Spec.Extra {
		if review.Spec.Extra == nil {
			review.Spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		review.Spec.Extra[key] = authorizationv1.ExtraValue(values)
	}
	answer, err := c.Client.Write(ctx, client.Write{
		Verb: client.Create, Object: review,
		Resource: schema.GroupResource{Group: authorizationv1.GroupName, Resource: "subjectaccessreviews"},
	})
	if err != nil {
		return false, fmt.Errorf("asking for the rights of %s: %w", csr.Spec.Username, err)
	}
	answered, ok := answer.(*authorizationv1.SubjectAccessReview)
	return ok && answered.Status.Allowed, nil
}

func (c *Controller) approve(ctx context.Context, csr *certificatesv1.CertificateSigningRequest, message string) error {
	changed := csr.DeepCopy()
	changed.Status.Conditions = append(changed.Status.Conditions, c.condition(
		certificatesv1.CertificateApproved, "AutoApproved", message))
	if err := c.update(ctx, changed, "approval"); err != nil {
		return fmt.Errorf("approving: %w", err)
	}
	c.Logger.Info("approved", "kind", "CertificateSigningRequest", "name", csr.Name, "requester", csr.Spec.Username)
	return nil
}

func (c *Controller) condition(
	kind certificatesv1.RequestConditionType, reason, message string,
) certificatesv1.CertificateSigningRequestCondition {
	now := metav1.NewTime(c.Now())
	return certificatesv1.CertificateSigningRequestCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message,
		LastUpdateTime: now, LastTransitionTime: now,
	}
}

func (c *Controller) sign(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) error {
	changed := csr.DeepCopy()
	certificate, err := Sign(csr, c.CA, c.Now())
	var bad *ValidationError
	switch {
	case errors.As(err, &bad):
		changed.Status.Conditions = append(changed.Status.Conditions, c.condition(
			certificatesv1.CertificateFailed, "SignerValidationFailure", bad.Error()))
	case err != nil:
		return err
	}
	changed.Status.Certificate = certificate
	if err := c.update(ctx, changed, "status"); err != nil {
		return fmt.Errorf("writing certificate: %w", err)
	}
	return nil
}

func (c *Controller) update(ctx context.Context, csr *certificatesv1.CertificateSigningRequest, subresource string) error {
	_, err := c.Client.Write(ctx, client.Write{
		Verb: client.Update, Resource: requests(), Subresource: subresource, Name: csr.Name, Object: csr,
	})
	return err
}
