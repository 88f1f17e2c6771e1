package apiregistration

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func apiService() *api.Resource {
	return meta.Entry[*apiregistrationv1.APIService]{
		Group:   apiregistrationv1.GroupName,
		Version: "v1", Kind: "APIService", Plural: "apiservices",
		Categories: []string{"api-extensions"},
		New:        meta.New[apiregistrationv1.APIService],
		NewList:    meta.Empty[apiregistrationv1.APIServiceList],
		Path:       "apiregistration.k8s.io/apiservices",
		Subresources: []api.Subresource{
			meta.Status(apiregistrationv1.SchemeGroupVersion.WithKind("APIService"), meta.Empty[apiregistrationv1.APIService],
				"metadata", "spec"),
		},
		Default: func(s *apiregistrationv1.APIService) {
			if s.Spec.Service != nil && s.Spec.Service.Port == nil {
				s.Spec.Service.Port = new(int32(443))
			}
		},
		PrepareCreate: prepareAPIService,
		PrepareUpdate: func(s, old *apiregistrationv1.APIService) { s.Status = old.Status },
		PrepareStatus: func(s, old *apiregistrationv1.APIService) {
			s.Spec = old.Spec
			s.Labels, s.Annotations = old.Labels, old.Annotations
			s.Finalizers, s.OwnerReferences = old.Finalizers, old.OwnerReferences
		},
		Stamp: stampConditions,
		Name:  meta.PathSegment,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Service", "The service that serves the group-version."),
			meta.Column("Available", "Whether the group-version can be reached."),
			meta.AgeColumn(),
		},
		Row:            apiServiceRow,
		Validate:       validateAPIService,
		ValidateUpdate: validateAPIServiceUpdate,
		ValidateStatus: validateAPIServiceStatus,
		AnyFinalizer:   true,
	}.Resource()
}

// prepareAPIService clears the status; group-versions that this server serves itself are always available.
func prepareAPIService(s *apiregistrationv1.APIService) {
	s.Status = apiregistrationv1.APIServiceStatus{}
	if s.Spec.Service == nil {
		s.Status.Conditions = []apiregistrationv1.APIServiceCondition{{
			Type:    apiregistrationv1.Available,
			Status:  apiregistrationv1.ConditionTrue,
			Reason:  "Local",
			Message: "Local APIServices are always available",
		}}
	}
}

func stampConditions(s, old *apiregistrationv1.APIService, now time.Time) {
	if old != nil {
		return
	}
	for i := range s.Status.Conditions {
		if c := &s.Status.Conditions[i]; c.LastTransitionTime.IsZero() {
			c.LastTransitionTime = metav1.NewTime(now)
		}
	}
}

func apiServiceRow(s *apiregistrationv1.APIService, now time.Time) []any {
	service := "Local"
	if s.Spec.Service != nil {
		service = s.Spec.Service.Namespace + "/" + s.Spec.Service.Name
	}
	available := string(apiregistrationv1.ConditionUnknown)
	for i := range s.Status.Conditions {
		c := &s.Status.Conditions[i]
		if c.Type != apiregistrationv1.Available {
			continue
		}
		available = string(c.Status)
		if c.Status != apiregistrationv1.ConditionTrue && c.Reason != "" {
			available += " (" + c.Reason + ")"
		}
		break
	}
	return []any{s.Name, service, available, meta.Age(s, now)}
}
