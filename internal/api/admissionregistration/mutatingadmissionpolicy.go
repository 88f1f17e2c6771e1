package admissionregistration

import (
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func mutatingAdmissionPolicy() *api.Resource {
	return meta.Entry[*admissionregistrationv1.MutatingAdmissionPolicy]{
		Group:   admissionregistrationv1.GroupName,
		Version: "v1", Kind: "MutatingAdmissionPolicy", Plural: "mutatingadmissionpolicies",
		Categories: []string{"api-extensions"},
		New:        meta.New[admissionregistrationv1.MutatingAdmissionPolicy],
		NewList:    meta.Empty[admissionregistrationv1.MutatingAdmissionPolicyList],
		Path:       "mutatingadmissionpolicies",
		Default: func(p *admissionregistrationv1.MutatingAdmissionPolicy) {
			defaultFailurePolicy(&p.Spec.FailurePolicy)
			defaultMatchResources(p.Spec.MatchConstraints)
		},
		PrepareCreate: func(p *admissionregistrationv1.MutatingAdmissionPolicy) {
			p.Generation = 1
		},
		PrepareUpdate: func(p, old *admissionregistrationv1.MutatingAdmissionPolicy) {
			if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
				p.Generation++
			}
		},
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Typed("Mutations", "integer", admissionregistrationv1.MutatingAdmissionPolicySpec{}.SwaggerDoc()["mutations"]),
			meta.Column("ParamKind", admissionregistrationv1.MutatingAdmissionPolicySpec{}.SwaggerDoc()["paramKind"]),
			meta.AgeColumn(),
		},
		Row: func(p *admissionregistrationv1.MutatingAdmissionPolicy, now time.Time) []any {
			return []any{p.Name, int64(len(p.Spec.Mutations)), paramKindText(p.Spec.ParamKind), meta.Age(p, now)}
		},
		Validate:       validateMutatingPolicy,
		ValidateUpdate: validateMutatingPolicyUpdate,
		AnyFinalizer:   true,
	}.Resource()
}
