package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/podref"
	"coracle.dev/coracle/internal/apiserver/request"
)

// token lets a node ask only for tokens that end with a pod of its own, for an audience that the pod asks for.
func (p *NodeRestriction) token(ctx context.Context, node string, op *Operation) error {
	if op.Verb != opCreate || op.Subresource != "token" {
		return nil
	}
	req, ok := op.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return op.unexpected(op.Object)
	}
	ref := req.Spec.BoundObjectRef
	switch {
	case ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "":
		return op.forbid("node requested token not bound to a pod")
	case ref.UID == "":
		return op.forbid("node requested token with a pod binding without a uid")
	}
	pod, err := lookup.Get[*corev1.Pod](ctx, p.objects, resource("", "pods"), op.Namespace, ref.Name)
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return op.forbid("%w", err)
	case pod.UID != ref.UID:
		return op.forbid("the UID in the bound object reference (%s) does not match the UID in record. "+
			"The object might have been deleted and then recreated", ref.UID)
	case pod.Spec.NodeName != node:
		return op.forbid("node requested token bound to a pod scheduled on a different node")
	}
	if err := p.audience(ctx, op, req, pod); err != nil {
		return op.forbid("%w", err)
	}
	return nil
}

// audience allows the audiences of the pod's token volumes and of its CSI drivers; others take a right of their own.
func (p *NodeRestriction) audience(
	ctx context.Context, op *Operation, req *authenticationv1.TokenRequest, pod *corev1.Pod,
) error {
	asked := ""
	switch len(req.Spec.Audiences) {
	case 0:
	case 1:
		asked = req.Spec.Audiences[0]
	default:
		return errors.New("node may only request 0 or 1 audiences")
	}
	named, err := p.namesAudience(ctx, pod, asked)
	if err != nil {
		return fmt.Errorf("error validating audience %q: %w", asked, err)
	}
	if named {
		return nil
	}
	decision, _, err := p.authorizer.Authorize(ctx, &request.Attributes{
		User: op.User, Verb: "request-serviceaccounts-token-audience", IsResource: true,
		Group: op.Group, Version: op.Version, Resource: asked, Namespace: op.Namespace, Name: op.Name,
	})
	switch {
	case decision == authz.Allow:
		return nil
	case err != nil:
		return fmt.Errorf("error authorizing %s to request tokens for audience %q: %w", op.User.Name, asked, err)
	}
	return fmt.Errorf("%s is not authorized to request tokens for audience %q", op.User.Name, asked)
}

func (p *NodeRestriction) namesAudience(ctx context.Context, pod *corev1.Pod, audience string) (bool, error) {
	var failed error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Projected != nil {
			for _, source := range v.Projected.Sources {
				if source.ServiceAccountToken != nil && source.ServiceAccountToken.Audience == audience {
					return true, nil
				}
			}
		}
		driver, err := p.driverOf(ctx, pod, v)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if driver == "" {
			continue
		}
		object, err := lookup.Get[*storagev1.CSIDriver](ctx, p.objects, resource(storagev1.GroupName, "csidrivers"), "", driver)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for _, req := range object.Spec.TokenRequests {
			if req.Audience == audience {
				return true, nil
			}
		}
	}
	return false, failed
}

// driverOf names the CSI driver behind a volume, empty when there is none.
func (p *NodeRestriction) driverOf(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (string, error) {
	if v.CSI != nil {
		return v.CSI.Driver, nil
	}
	name := podref.ClaimOf(pod, v)
	if name == "" {
		return "", nil
	}
	claims := resource("", "persistentvolumeclaims")
	claim, err := lookup.Get[*corev1.PersistentVolumeClaim](ctx, p.objects, claims, pod.Namespace, name)
	if err != nil {
		return "", err
	}
	volumes := resource("", "persistentvolumes")
	volume, err := lookup.Get[*corev1.PersistentVolume](ctx, p.objects, volumes, "", claim.Spec.VolumeName)
	if err != nil || volume.Spec.CSI == nil {
		return "", err
	}
	return volume.Spec.CSI.Driver, nil
}

// podCertificate lets a node ask for certificates only for a pod of its own, in the name of that pod's account, from a signer
// that the pod asks for.
func (p *NodeRestriction) podCertificate(ctx context.Context, node string, op *Operation) error {
	if op.Verb != opCreate {
		return op.forbid("unexpected operation %v", op.Verb)
	}
	if op.Subresource != "" {
		return op.forbid("unexpected subresource %v", op.Subresource)
	}
	req, ok := op.Object.(*certificatesv1.PodCertificateRequest)
	if !ok {
		return op.unexpected(op.Object)
	}
	spec := &req.Spec
	if string(spec.NodeName) != node {
		return op.forbid("PodCertificateRequest.Spec.NodeName=%q, which is not the requesting node %q", spec.NodeName, node)
	}
	object, err := lookup.Get[*corev1.Node](ctx, p.objects, resource("", "nodes"), "", node)
	if err != nil {
		return fmt.Errorf("while retrieving node %q named in the PodCertificateRequest: %w", node, err)
	}
	if object.UID != spec.NodeUID {
		return fmt.Errorf("PodCertificateRequest names node UID %q, inconsistent with the running node (%q)",
			spec.NodeUID, object.UID)
	}
	pod, err := lookup.Get[*corev1.Pod](ctx, p.objects, resource("", "pods"), op.Namespace, spec.PodName)
	if err != nil {
		return fmt.Errorf("while retrieving pod %q named in the PodCertificateRequest: %w", spec.PodName, err)
	}
	switch {
	case pod.UID != spec.PodUID:
		return fmt.Errorf("PodCertificateRequest contains pod UID (%q) which differs from running pod %q", spec.PodUID, pod.UID)
	case pod.Spec.NodeName != node:
		return op.forbid("pod %q is not running on node %q named in the PodCertificateRequest", pod.Name, node)
	case podref.IsMirror(pod):
		return op.forbid("pod %q is a mirror pod", pod.Name)
	case pod.Spec.ServiceAccountName != spec.ServiceAccountName:
		return op.forbid("PodCertificateRequest contains serviceAccountName (%q) that differs from running pod (%q)",
			spec.ServiceAccountName, pod.Spec.ServiceAccountName)
	}
	accounts := resource("", "serviceaccounts")
	account, err := lookup.Get[*corev1.ServiceAccount](ctx, p.objects, accounts, op.Namespace, spec.ServiceAccountName)
	if err != nil {
		return fmt.Errorf("while retrieving service account %q named in the PodCertificateRequest: %w",
			spec.ServiceAccountName, err)
	}
	if account.UID != spec.ServiceAccountUID {
		return fmt.Errorf("PodCertificateRequest names service account UID %q, "+
			"which differs from the running service account (%q)", spec.ServiceAccountUID, account.UID)
	}
	return p.signer(ctx, op, pod, spec)
}

func (p *NodeRestriction) signer(
	ctx context.Context, op *Operation, pod *corev1.Pod, spec *certificatesv1.PodCertificateRequestSpec,
) error {
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.PodCertificate != nil && source.PodCertificate.SignerName == spec.SignerName {
				return nil
			}
		}
	}
	decision, _, err := p.authorizer.Authorize(ctx, &request.Attributes{
		User: op.User, Verb: "request-serviceaccounts-podcertificate-signer", IsResource: true,
		Group: op.Group, Version: op.Version, Namespace: op.Namespace, Name: spec.ServiceAccountName,
		// A resource's name cannot hold a slash.
		Resource: strings.ReplaceAll(spec.SignerName, "/", ":"),
	})
	switch {
	case decision == authz.Allow:
		return nil
	case err != nil:
		return op.forbid("error authorizing %s to request podcertificaterequests for signer %q: %w",
			op.User.Name, spec.SignerName, err)
	}
	return op.forbid("pod %q does not mount a podCertificate projected volume for signer %q", pod.Name, spec.SignerName)
}
