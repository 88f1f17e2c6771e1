package signer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	certv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/cluster/pki"
)

// Signer answers certificate signing requests.
type Signer struct {
	client    client.Interface
	authority *pki.Authority
	reserved  netip.Prefix
	clock     clock.Clock
	log       *slog.Logger
}

// New returns a signer that writes as the client's identity, which may approve and sign for the signers that the package
// comment names. reserved is the range of service addresses.
func New(c client.Interface, authority *pki.Authority, reserved netip.Prefix, clk clock.Clock, log *slog.Logger) *Signer {
	return &Signer{client: c, authority: authority, reserved: reserved, clock: clk, log: log}
}

// autoApproved is the reason of approvals that nobody gave by hand.
const autoApproved = "AutoApproved"

// retryAfter is how long to wait after a write that failed.
const retryAfter = time.Second

// Run answers requests until ctx ends.
func (s *Signer) Run(ctx context.Context) error {
	csrs, err := s.client.Cache(client.Selection{Resource: kinds.CertificateSigningRequests()})
	if err != nil {
		return fmt.Errorf("reading certificate requests: %w", err)
	}
	machines, err := s.client.Cache(client.Selection{Resource: kinds.Nodes()})
	if err != nil {
		return fmt.Errorf("reading nodes: %w", err)
	}
	if err := errors.Join(csrs.Sync(ctx), machines.Sync(ctx)); err != nil {
		return ended(ctx, fmt.Errorf("reading certificate requests: %w", err))
	}
	changed, broken := make(chan struct{}, 1), make(chan error, 2)
	var readers sync.WaitGroup
	defer readers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, cache := range []client.Cache{csrs, machines} {
		readers.Go(func() {
			broken <- signalChanges(ctx, cache, changed)
			signal(changed)
		})
	}
	for {
		next := s.pass(ctx, csrs.Snapshot(), machines.Snapshot())
		select {
		case err := <-broken:
			return ended(ctx, err)
		default:
		}
		if !s.wait(ctx, changed, next) {
			return nil
		}
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// signalChanges puts a signal into changed whenever the cache has changed, until ctx ends.
func signalChanges(ctx context.Context, cache client.Cache, changed chan<- struct{}) error {
	_, stream := cache.Follow()
	defer stream.Close()
	for {
		if _, err := stream.Next(ctx); err != nil {
			return fmt.Errorf("following certificate requests: %w", err)
		}
		signal(changed)
	}
}

// signal leaves one signal, however many are sent before it is taken.
func signal(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

// wait returns when something changed or the time has come (the zero time never does), and false when ctx has ended.
func (s *Signer) wait(ctx context.Context, changed <-chan struct{}, next time.Time) bool {
	var wake <-chan time.Time
	if !next.IsZero() {
		timer := s.clock.NewTimer(max(next.Sub(s.clock.Now()), 0))
		defer timer.Stop()
		wake = timer.C()
	}
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-wake:
	}
	return true
}

// pass looks at every request once and returns when to look again.
func (s *Signer) pass(ctx context.Context, csrs, machines client.Snapshot) time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	node := func(name string) *corev1.Node {
		obj, ok := machines.Get("", name)
		if !ok {
			return nil
		}
		n, _ := obj.(*corev1.Node)
		return n
	}
	for obj := range csrs.All("") {
		csr, ok := obj.(*certv1.CertificateSigningRequest)
		if !ok {
			continue
		}
		d := decide(csr, node, s.reserved, s.clock.Now())
		sooner(d.at)
		err := s.perform(ctx, csr, d)
		// A conflict or an object that is gone means that the image is behind; it will change.
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && ctx.Err() == nil {
			s.log.Warn("answering a certificate request failed", "name", csr.Name, "error", err)
			sooner(s.clock.Now().Add(retryAfter))
		}
	}
	return next
}

func (s *Signer) perform(ctx context.Context, csr *certv1.CertificateSigningRequest, d decision) error {
	switch d.action {
	case askWhether:
		allowed, err := s.allowed(ctx, csr, d.subresource)
		if err != nil || !allowed {
			return err
		}
		return s.condition(ctx, csr, "approval", certv1.CertificateApproved, autoApproved,
			"the requestor may have this certificate")
	case approve:
		return s.condition(ctx, csr, "approval", certv1.CertificateApproved, autoApproved, d.message)
	case fail:
		return s.condition(ctx, csr, "status", certv1.CertificateFailed, "SignerValidationFailure", d.message)
	case sign:
		return s.sign(ctx, csr)
	case remove:
		_, err := s.client.Write(ctx, client.Write{
			Verb: client.Delete, Resource: kinds.CertificateSigningRequests(), Name: csr.Name,
			Delete: metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(csr.UID))},
		})
		return err
	default:
		return nil
	}
}

// allowed asks the authorizer whether the requestor may have such a certificate without anybody's approval.
func (s *Signer) allowed(ctx context.Context, csr *certv1.CertificateSigningRequest, subresource string) (bool, error) {
	extra := map[string]authzv1.ExtraValue{}
	for key, value := range csr.Spec.Extra {
		extra[key] = authzv1.ExtraValue(value)
	}
	ask := &authzv1.SubjectAccessReview{Spec: authzv1.SubjectAccessReviewSpec{
		User: csr.Spec.Username, UID: csr.Spec.UID, Groups: csr.Spec.Groups, Extra: extra,
		ResourceAttributes: &authzv1.ResourceAttributes{
			Group: certv1.GroupName, Resource: kinds.CertificateSigningRequests().Resource, Subresource: subresource,
			Verb: "create", Version: "*",
		},
	}}
	out, err := s.client.Write(ctx, client.Write{Verb: client.Create, Resource: kinds.SubjectAccessReviews(), Object: ask})
	if err != nil {
		return false, fmt.Errorf("asking whether %s may have its certificate: %w", csr.Spec.Username, err)
	}
	review, ok := out.(*authzv1.SubjectAccessReview)
	return ok && review.Status.Allowed, nil
}

func (s *Signer) condition(ctx context.Context, csr *certv1.CertificateSigningRequest, subresource string,
	kind certv1.RequestConditionType, reason, message string,
) error {
	csr = csr.DeepCopy()
	now := metav1.NewTime(s.clock.Now())
	csr.Status.Conditions = append(csr.Status.Conditions, certv1.CertificateSigningRequestCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastUpdateTime: now, LastTransitionTime: now,
	})
	return s.update(ctx, csr, subresource)
}

func (s *Signer) sign(ctx context.Context, csr *certv1.CertificateSigningRequest) error {
	request, err := parse(csr.Spec.Request)
	if err != nil {
		return err
	}
	cert, err := s.authority.Sign(leafOf(csr, request), request.PublicKey, s.clock.Now())
	if err != nil {
		return err
	}
	csr = csr.DeepCopy()
	csr.Status.Certificate = cert
	if err := s.update(ctx, csr, "status"); err != nil {
		return err
	}
	s.log.Info("signed a certificate", "name", csr.Name, "signer", csr.Spec.SignerName, "user", csr.Spec.Username)
	return nil
}

func (s *Signer) update(ctx context.Context, obj api.Object, subresource string) error {
	_, err := s.client.Write(ctx, client.Write{
		Verb: client.Update, Resource: kinds.CertificateSigningRequests(), Subresource: subresource,
		Name: obj.GetName(), Object: obj,
	})
	return err
}
