package admissionregistration

import (
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func validatingAdmissionPolicy() *api.Resource {
	return meta.Entry[*admissionregistrationv1.ValidatingAdmissionPolicy]{
		Group:   admissionregistrationv1.GroupName,
		Version: "v1", Kind: "ValidatingAdmissionPolicy", Plural: "validatingadmissionpolicies",
		Categories: []string{"api-extensions"},
		New:        meta.New[admissionregistrationv1.ValidatingAdmissionPolicy],
		NewList:    meta.Empty[admissionregistrationv1.ValidatingAdmissionPolicyList],
		Path:       "validatingadmissionpolicies",
		Subresources: []api.Subresource{
			meta.Status(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingAdmissionPolicy"),
				meta.Empty[admissionregistrationv1.ValidatingAdmissionPolicy], "metadata", "spec"),
		},
		Default: func(p *admissionregistrationv1.ValidatingAdmissionPolicy) {
			defaultFailurePolicy(&p.Spec.FailurePolicy)
			defaultMatchResources(p.Spec.MatchConstraints)
		},
		PrepareCreate: func(p *admissionregistrationv1.ValidatingAdmissionPolicy) {
			p.Status = admissionregistrationv1.ValidatingAdmissionPolicyStatus{}
			p.Generation = 1
		},
		PrepareUpdate: func(p, old *admissionregistrationv1.ValidatingAdmissionPolicy) {
			p.Status = old.Status
			if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
				p.Generation++
			}
		},
		PrepareStatus: func(p, old *admissionregistrationv1.ValidatingAdmissionPolicy) {
			p.Spec = old.Spec
			metav1.ResetObjectMetaForStatus(&p.ObjectMeta, &old.ObjectMeta)
		},
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Typed("Validations", "integer",
				admissionregistrationv1.ValidatingAdmissionPolicySpec{}.SwaggerDoc()["validations"]),
			meta.Column("ParamKind", admissionregistrationv1.ValidatingAdmissionPolicySpec{}.SwaggerDoc()["paramKind"]),
			meta.AgeColumn(),
		},
		Row: func(p *admissionregistrationv1.ValidatingAdmissionPolicy, now time.Time) []any {
			return []any{p.Name, int64(len(p.Spec.Validations)), paramKindText(p.Spec.ParamKind), meta.Age(p, now)}
		},
		Validate:       validateValidatingPolicy,
		ValidateUpdate: validateValidatingPolicyUpdate,
		ValidateStatus: validatePolicyStatus,
		AnyFinalizer:   true,
	}.Resource()
}
