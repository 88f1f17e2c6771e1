package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"

	"coracle.dev/coracle/internal/api/rule"
)

// Resources that are counted, not measured: only whole numbers of them make sense.
func countedResources() []corev1.ResourceName {
	return []corev1.ResourceName{
		corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers,
	}
}

// quotaResources are the names without a domain that a quota can limit.
func quotaResources() []corev1.ResourceName {
	return append(countedResources(),
		corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsStorage,
		corev1.ResourceRequestsEphemeralStorage, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory,
		corev1.ResourceLimitsEphemeralStorage)
}

func isQuotaHugePages(name corev1.ResourceName) bool {
	return isHugePages(name) || strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
}

func isQuotaResource(name corev1.ResourceName) bool {
	return slices.Contains(quotaResources(), name) || isQuotaHugePages(name)
}

func hasDomain(name corev1.ResourceName) bool { return strings.Contains(string(name), "/") }

// isNativeResource tells whether Kubernetes itself defines the resource.
func isNativeResource(name corev1.ResourceName) bool {
	return !hasDomain(name) || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}

// isExtendedResource tells whether the name is one that device plugins may use; a quota must be able to name it too.
func isExtendedResource(name corev1.ResourceName) bool {
	if isNativeResource(name) || strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) {
		return false
	}
	return len(utilvalidation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

// canOvercommit tells whether a limit may be above the request.
func canOvercommit(name corev1.ResourceName) bool {
	return isNativeResource(name) && !isHugePages(name)
}

func wholeHugePages(name corev1.ResourceName, q resource.Quantity) bool {
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix))
	if err != nil || size.Sign() <= 0 || size.MilliValue()%1000 != 0 || size.Value() == 0 {
		return false
	}
	return q.Value()%size.Value() == 0
}

// validateResource judges a resource's name.
func validateResource(at *field.Path, name corev1.ResourceName) field.ErrorList {
	if bad := rule.Messages(at, name, utilvalidation.IsQualifiedName(string(name))); len(bad) > 0 {
		return bad
	}
	if !hasDomain(name) && !isQuotaResource(name) && name != corev1.ResourceStorage {
		return field.ErrorList{field.Invalid(at, name, "must be a standard resource type or fully qualified")}
	}
	return nil
}

// ValidateContainerResourceName judges the name of a resource that a container can ask for.
func ValidateContainerResourceName(at *field.Path, name corev1.ResourceName) field.ErrorList {
	return containerResource(at, name)
}

func containerResource(at *field.Path, name corev1.ResourceName) field.ErrorList {
	errs := validateResource(at, name)
	standard := slices.Contains([]corev1.ResourceName{
		corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
	}, name) || isHugePages(name)
	switch {
	case !hasDomain(name) && !standard:
		errs = append(errs, field.Invalid(at, name, "must be a standard resource for containers"))
	case hasDomain(name) && !isNativeResource(name) && !isExtendedResource(name):
		errs = append(errs, field.Invalid(at, name, "doesn't follow extended resource name standard"))
	}
	return errs
}

// podResource judges the name of a resource that a pod as a whole can ask for.
func podResource(at *field.Path, name corev1.ResourceName) field.ErrorList {
	if bad := validateResource(at, name); len(bad) > 0 {
		return bad
	}
	if resourcehelper.IsSupportedPodLevelResource(name) {
		return nil
	}
	return field.ErrorList{field.NotSupported(at, name, sets.List(resourcehelper.SupportedPodLevelResources()))}
}

func quotaResource(at *field.Path, name corev1.ResourceName) field.ErrorList {
	errs := validateResource(at, name)
	if !hasDomain(name) && !isQuotaResource(name) {
		errs = append(errs, field.Invalid(at, name, "must be a standard resource for quota"))
	}
	return errs
}

// validateAmount judges how much of a resource is named.
func validateAmount(at *field.Path, name corev1.ResourceName, q resource.Quantity) field.ErrorList {
	errs := rule.NonNegativeQuantity(at, q)
	if slices.Contains(countedResources(), name) || isExtendedResource(name) {
		errs = append(errs, rule.WholeQuantity(at, q)...)
	}
	return errs
}

// validateAmounts judges names and amounts of a list, in the order of the names.
func validateAmounts(
	list corev1.ResourceList, at func(name string) *field.Path, judge func(*field.Path, corev1.ResourceName) field.ErrorList,
) field.ErrorList {
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(list)) {
		at := at(string(name))
		errs = slices.Concat(errs, judge(at, name), validateAmount(at, name, list[name]))
	}
	return errs
}

// ValidateOverhead judges what a runtime class adds to its pods.
func ValidateOverhead(at *field.Path, overhead corev1.ResourceList) field.ErrorList {
	return validateRequirements(at, &corev1.ResourceRequirements{Limits: overhead}, containerResource, nil, podRules{})
}

// validateRequirements judges requests, limits and claims together. claims are the names that the pod has claims under.
func validateRequirements(
	at *field.Path, r *corev1.ResourceRequirements, judge func(*field.Path, corev1.ResourceName) field.ErrorList,
	claims sets.Set[string], rules podRules,
) field.ErrorList {
	limits, requests := at.Child("limits"), at.Child("requests")
	errs := validateRequirementList(limits, r.Limits, judge, rules)
	errs = append(errs, validateRequirementList(requests, r.Requests, judge, rules)...)
	for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
		q := r.Requests[name]
		limit, limited := r.Limits[name]
		switch {
		case !limited && !canOvercommit(name):
			errs = append(errs, field.Required(limits, "Limit must be set for non overcommitable resources"))
		case limited && !canOvercommit(name) && q.Cmp(limit) != 0:
			errs = append(errs, field.Invalid(requests, q.String(),
				fmt.Sprintf("must be equal to %s limit of %s", name, limit.String())))
		case limited && q.Cmp(limit) > 0:
			errs = append(errs, field.Invalid(requests, q.String(),
				fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		}
	}
	huge, compute := false, false
	for _, list := range []corev1.ResourceList{r.Limits, r.Requests} {
		for name := range list {
			huge = huge || isHugePages(name)
			compute = compute || name == corev1.ResourceCPU || name == corev1.ResourceMemory
		}
	}
	if huge && !compute {
		errs = append(errs, field.Forbidden(at, "HugePages require cpu or memory"))
	}
	return append(errs, validateClaimRefs(at.Child("claims"), r.Claims, claims)...)
}

func validateRequirementList(
	at *field.Path, list corev1.ResourceList, judge func(*field.Path, corev1.ResourceName) field.ErrorList, rules podRules,
) field.ErrorList {
	errs := validateAmounts(list, at.Key, judge)
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if q := list[name]; isHugePages(name) && !rules.laxHugePages && !wholeHugePages(name, q) {
			errs = append(errs, field.Invalid(at.Key(string(name)), q.String(),
				fmt.Sprintf("%s is not positive integer multiple of %s", q.String(), name)))
		}
	}
	return errs
}

// validateClaimRefs judges a container's references to the pod's claims: each claim is named once as a whole, or once a request.
func validateClaimRefs(at *field.Path, refs []corev1.ResourceClaim, claims sets.Set[string]) field.ErrorList {
	var errs field.ErrorList
	whole, parts := sets.New[string](), map[string]sets.Set[string]{}
	for i, ref := range refs {
		at := at.Index(i)
		if ref.Name == "" {
			errs = append(errs, field.Required(at, ""))
			continue
		}
		switch {
		case whole.Has(ref.Name):
			errs = append(errs, field.Duplicate(at, ref.Name))
		case ref.Request != "":
			errs = append(errs, rule.DNSLabel(at.Child("request"), ref.Request)...)
			if parts[ref.Name].Has(ref.Request) {
				errs = append(errs, field.Duplicate(at, ref.Name+"/"+ref.Request))
			}
			if parts[ref.Name] == nil {
				parts[ref.Name] = sets.New[string]()
			}
			parts[ref.Name].Insert(ref.Request)
		default:
			if len(parts[ref.Name]) > 0 {
				errs = append(errs, field.Duplicate(at, ref.Name))
			}
			whole.Insert(ref.Name)
		}
		if !claims.Has(ref.Name) {
			missing := field.NotFound(at, ref.Name)
			missing.Detail = "must be one of the names in pod.spec.resourceClaims which is empty"
			if len(claims) > 0 {
				missing.Detail = "must be one of the names in pod.spec.resourceClaims: " + strings.Join(sets.List(claims), ", ")
			}
			errs = append(errs, missing)
		}
	}
	return errs
}

// validatePodResources judges the resources of the pod as a whole, which bound those of its containers.
func (j *podJudge) validatePodResources(at *field.Path) field.ErrorList {
	r := j.spec.Resources
	if r == nil {
		return nil
	}
	if j.spec.OS != nil && j.spec.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(at, "may not be set for a windows pod")}
	}
	var errs field.ErrorList
	if r.Claims != nil {
		errs = append(errs, field.Forbidden(at.Child("claims"), "claims may not be set for Resources at pod-level"))
	}
	return slices.Concat(errs,
		validateRequirements(at, r, podResource, j.claims, j.podRules),
		j.validateContainerSums(at))
}

func (j *podJudge) validateContainerSums(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	pod, r := &corev1.Pod{Spec: *j.spec}, j.spec.Resources
	requests := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		sum := requests[name]
		if q, ok := r.Requests[name]; ok && sum.Cmp(q) > 0 {
			errs = append(errs, field.Invalid(at.Child("requests").Key(string(name)), q.String(),
				"must be greater than or equal to aggregate container requests of "+sum.String()))
		}
	}
	limits := resourcehelper.AggregateContainerLimits(pod, resourcehelper.PodResourcesOptions{})
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		sum := limits[name]
		// Huge pages cannot be overcommitted, so here the sum counts and not only each container's limit.
		if q, ok := r.Limits[name]; ok && isHugePages(name) && sum.Cmp(q) > 0 {
			errs = append(errs, field.Invalid(at.Child("limits").Key(string(name)), q.String(),
				"must be greater than or equal to aggregate container limits of "+sum.String()))
		}
	}
	for i := range j.spec.Containers {
		list := j.spec.Containers[i].Resources.Limits
		for _, name := range slices.Sorted(maps.Keys(list)) {
			limit := list[name]
			if q, ok := r.Limits[name]; ok && limit.Cmp(q) > 0 {
				errs = append(errs, field.Invalid(at.Child("containers").Index(i).Key(string(name)).Child("limits"),
					limit.String(), "must be less than or equal to pod limits of "+q.String()))
			}
		}
	}
	return errs
}
