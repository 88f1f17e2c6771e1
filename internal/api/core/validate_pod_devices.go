package core

import (
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// What a node's agent reports of a pod's devices, users and volumes.

// validateExtendedClaim judges the claim that was made for extended resources of the pod's containers.
func validateExtendedClaim(at *field.Path, s *corev1.PodExtendedResourceClaimStatus, spec *corev1.PodSpec) field.ErrorList {
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	mappings := at.Child("requestMappings")
	if len(s.RequestMappings) == 0 {
		errs = append(errs, field.Required(mappings, "at least one request mapping is required"))
	}
	seen := map[corev1.ContainerExtendedResourceRequest]bool{}
	for i, m := range s.RequestMappings {
		item := mappings.Index(i)
		if c := findContainer(spec, m.ContainerName); c == nil {
			errs = append(errs, field.Invalid(item.Child("containerName"), m.ContainerName,
				"must match the name of an entry in spec.initContainers.name or spec.containers.name"))
		} else if _, ok := c.Resources.Requests[corev1.ResourceName(m.ResourceName)]; !ok {
			errs = append(errs, field.Invalid(item.Child("resourceName"), m.ResourceName, "must match the extended resource "+
				"name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests"))
		}
		errs = append(errs, rule.DNSLabel(at.Child("requestName"), m.RequestName)...)
		if seen[m] {
			errs = append(errs, field.Duplicate(item.Child("containerName"), m.ContainerName),
				field.Duplicate(item.Child("resourceName"), m.ResourceName),
				field.Duplicate(item.Child("requestName"), m.RequestName))
		}
		seen[m] = true
	}
	return append(errs, rule.GivenName(at.Child("resourceClaimName"), s.ResourceClaimName, meta.DNSSubdomain)...)
}

func findContainer(s *corev1.PodSpec, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{s.Containers, s.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// validateNodeClaims judges how claims map to CPU, memory and huge pages of the node.
func validateNodeClaims(at *field.Path, p *corev1.Pod) field.ErrorList {
	var errs field.ErrorList
	for i, s := range p.Status.NodeAllocatableResourceClaimStatuses {
		at := at.Index(i)
		if s.ResourceClaimName == "" {
			continue
		}
		named := func(n *string) bool { return n != nil && *n == s.ResourceClaimName }
		if !slices.ContainsFunc(p.Spec.ResourceClaims,
			func(c corev1.PodResourceClaim) bool { return named(c.ResourceClaimName) }) &&
			!slices.ContainsFunc(p.Status.ResourceClaimStatuses,
				func(c corev1.PodResourceClaimStatus) bool { return named(c.ResourceClaimName) }) {
			errs = append(errs, field.Invalid(at.Child("resourceClaimName"), s.ResourceClaimName,
				"no mapping found in pod reference"))
		}
		for k, m := range s.Mapping {
			at := at.Child("mapping").Index(k)
			errs = slices.Concat(errs, validateNodeResource(at.Child("name"), m.Name),
				maybeNonNegative(at.Child("quantity"), m.Quantity))
		}
		for k, o := range s.Overhead {
			at := at.Child("overhead").Index(k)
			errs = append(errs, validateNodeResource(at.Child("name"), o.Name)...)
			if o.PerPod == nil && o.PerContainer == nil {
				errs = append(errs, field.Invalid(at, "", "at least one of perPod or perContainer must be set"))
			}
			errs = slices.Concat(errs,
				maybeNonNegative(at.Child("perPod"), o.PerPod),
				maybeNonNegative(at.Child("perContainer"), o.PerContainer))
		}
	}
	return errs
}

func validateNodeResource(at *field.Path, name corev1.ResourceName) field.ErrorList {
	if name == corev1.ResourceCPU || name == corev1.ResourceMemory || isHugePages(name) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, name, "must be a node allocatable resource name")}
}

func maybeNonNegative(at *field.Path, q *resource.Quantity) field.ErrorList {
	if q == nil || q.Sign() >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(at, q.String(), "must be non-negative")}
}

// validateUsers judges the user that a container's first process was started with.
func validateUsers(at *field.Path, list []corev1.ContainerStatus, os *corev1.PodOS) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		if list[i].User == nil || list[i].User.Linux == nil {
			continue
		}
		u, at := list[i].User.Linux, at.Index(i).Child("user", "linux")
		if os != nil && os.Name == corev1.Windows {
			errs = append(errs, field.Forbidden(at, "cannot be set for a windows pod"))
			continue
		}
		// A runtime may report any number that Linux knows, more than a pod may ask for.
		if u.UID < 0 || u.UID > math.MaxUint32 {
			errs = append(errs, field.Invalid(at.Child("uid"), u.UID,
				fmt.Sprintf("must be between 0 and %d, inclusive", int64(math.MaxUint32))))
		}
		errs = append(errs, rule.GroupID(at.Child("gid"), &u.GID)...)
		for g := range u.SupplementalGroups {
			errs = append(errs, rule.GroupID(at.Child("supplementalGroups").Index(g), &u.SupplementalGroups[g])...)
		}
	}
	return errs
}

const claimPrefix = "claim:"

// validateResourceHealth judges the health of devices: of resources that the container asked for, each device once.
func validateResourceHealth(
	at *field.Path, list []corev1.ContainerStatus, containers []corev1.Container, s *corev1.PodStatus,
) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		k := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == list[i].Name })
		for n, r := range list[i].AllocatedResourcesStatus {
			at := at.Index(i).Child("allocatedResourcesStatus").Index(n)
			if k >= 0 && !asksFor(&containers[k], r.Name, s) {
				why := "must match one of the container's resource requests"
				if strings.HasPrefix(string(r.Name), claimPrefix) {
					why = "must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when " +
						"container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty"
				}
				errs = append(errs, field.Invalid(at.Child("name"), r.Name, why))
			}
			errs = append(errs, validateDeviceHealth(at.Child("resources"), r.Resources)...)
		}
	}
	return errs
}

// asksFor tells whether the container asks for the resource, given by name or as claim:CLAIM/REQUEST.
func asksFor(c *corev1.Container, name corev1.ResourceName, s *corev1.PodStatus) bool {
	ref, isClaim := strings.CutPrefix(string(name), claimPrefix)
	if !isClaim {
		_, ok := c.Resources.Requests[name]
		return ok
	}
	for _, own := range c.Resources.Claims {
		full := own.Name
		if own.Request != "" {
			full += "/" + own.Request
		}
		if full == ref {
			return true
		}
	}
	claim, request, _ := strings.Cut(ref, "/")
	ext := s.ExtendedResourceClaimStatus
	if ext == nil || request == "" || claim == "" || claim != ext.ResourceClaimName {
		return false
	}
	return slices.ContainsFunc(ext.RequestMappings, func(m corev1.ContainerExtendedResourceRequest) bool {
		q := c.Resources.Requests[corev1.ResourceName(m.ResourceName)]
		return m.ContainerName == c.Name && m.RequestName == request && !q.IsZero()
	})
}

func validateDeviceHealth(at *field.Path, list []corev1.ResourceHealth) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[corev1.ResourceID]()
	for i, r := range list {
		at := at.Index(i)
		errs = append(errs, rule.OneOf(at.Child("health"), r.Health,
			corev1.ResourceHealthStatusHealthy, corev1.ResourceHealthStatusUnhealthy, corev1.ResourceHealthStatusUnknown)...)
		if r.Message != nil {
			if *r.Message == "" {
				errs = append(errs, field.Required(at.Child("message"), "must be non-empty if specified"))
			}
			errs = append(errs, rule.MaxBytes(at.Child("message"), *r.Message, corev1.ResourceHealthMessageMaxLength)...)
		}
		if seen.Has(r.ResourceID) {
			errs = append(errs, field.Duplicate(at.Child("resourceID"), r.ResourceID))
		}
		seen.Insert(r.ResourceID)
	}
	return errs
}

func forbidResourceHealth(at *field.Path, list []corev1.ContainerStatus) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		if len(list[i].AllocatedResourcesStatus) > 0 {
			errs = append(errs, field.Forbidden(at.Index(i).Child("allocatedResourcesStatus"),
				"must not be specified in container status"))
		}
	}
	return errs
}

func validateHealthConditions(at *field.Path, list []corev1.VolumeHealthCondition) field.ErrorList {
	var errs field.ErrorList
	for i, c := range list {
		if c.Reason != "" {
			errs = append(errs, rule.Messages(at.Index(i).Child("reason"), c.Reason,
				metavalidation.IsValidConditionReason(c.Reason))...)
		}
	}
	return errs
}
