package apiregistration

import (
	"fmt"
	"strings"

	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// Highest priorities, which order groups and versions in discovery.
const (
	maxGroupPriority   = 20000
	maxVersionPriority = 1000
)

func validateAPIServiceUpdate(s, _ *apiregistrationv1.APIService) field.ErrorList {
	return validateAPIService(s)
}

func validateAPIService(s *apiregistrationv1.APIService) field.ErrorList {
	at, spec := field.NewPath("spec"), &s.Spec
	errs := validateName(s)
	if spec.Group == "" && spec.Version != "v1" {
		errs = append(errs, field.Required(at.Child("group"), "only v1 may have an empty group and it better be legacy kube"))
	}
	if spec.Group != "" {
		errs = append(errs, rule.DNSSubdomain(at.Child("group"), spec.Group)...)
	}
	errs = append(errs, rule.Messages(at.Child("version"), spec.Version, utilvalidation.IsDNS1035Label(spec.Version))...)
	priority := func(name string, n, limit int32) {
		if n <= 0 || n > limit {
			errs = append(errs, field.Invalid(at.Child(name), n, fmt.Sprintf("must be positive and less than %d", limit)))
		}
	}
	priority("groupPriorityMinimum", spec.GroupPriorityMinimum, maxGroupPriority)
	priority("versionPriority", spec.VersionPriority, maxVersionPriority)
	return append(errs, validateServer(at, spec)...)
}

func validateName(s *apiregistrationv1.APIService) field.ErrorList {
	want := s.Spec.Version + "." + s.Spec.Group
	if s.Name == want || len(meta.PathSegment(s.Name, false)) > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), s.Name,
		fmt.Sprintf("must be `spec.version+\".\"+spec.group`: %q", want))}
}

// validateServer judges where the group-version is served; without a service it is this server.
func validateServer(at *field.Path, s *apiregistrationv1.APIServiceSpec) field.ErrorList {
	var errs field.ErrorList
	if s.Service == nil {
		if len(s.CABundle) > 0 {
			errs = append(errs, field.Invalid(at.Child("caBundle"), fmt.Sprintf("%d bytes", len(s.CABundle)),
				"local APIServices may not have a caBundle"))
		}
		if s.InsecureSkipTLSVerify {
			errs = append(errs, field.Invalid(at.Child("insecureSkipTLSVerify"), true,
				"local APIServices may not have insecureSkipTLSVerify"))
		}
		return errs
	}
	service := at.Child("service")
	errs = append(errs, rule.Given(service.Child("namespace"), s.Service.Namespace)...)
	errs = append(errs, rule.Given(service.Child("name"), s.Service.Name)...)
	if port := meta.Deref(s.Service.Port); len(utilvalidation.IsValidPortNum(int(port))) > 0 {
		errs = append(errs, field.Invalid(service.Child("port"), port,
			"port is not valid: "+strings.Join(utilvalidation.IsValidPortNum(int(port)), ", ")))
	}
	if s.InsecureSkipTLSVerify && len(s.CABundle) > 0 {
		errs = append(errs, field.Invalid(at.Child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present"))
	}
	return errs
}

func validateAPIServiceStatus(s, _ *apiregistrationv1.APIService) field.ErrorList {
	var errs field.ErrorList
	for i, c := range s.Status.Conditions {
		errs = append(errs, rule.OneOf(field.NewPath("status", "conditions").Index(i).Child("status"), c.Status,
			apiregistrationv1.ConditionTrue, apiregistrationv1.ConditionFalse, apiregistrationv1.ConditionUnknown)...)
	}
	return errs
}
