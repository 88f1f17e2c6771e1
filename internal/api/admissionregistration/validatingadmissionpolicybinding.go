package admissionregistration

import (
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func validatingAdmissionPolicyBinding() *api.Resource {
	return meta.Entry[*admissionregistrationv1.ValidatingAdmissionPolicyBinding]{
		Group:   admissionregistrationv1.GroupName,
		Version: "v1", Kind: "ValidatingAdmissionPolicyBinding", Plural: "validatingadmissionpolicybindings",
		Categories: []string{"api-extensions"},
		New:        meta.New[admissionregistrationv1.ValidatingAdmissionPolicyBinding],
		NewList:    meta.Empty[admissionregistrationv1.ValidatingAdmissionPolicyBindingList],
		Path:       "validatingadmissionpolicybindings",
		Default: func(b *admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
			defaultMatchResources(b.Spec.MatchResources)
		},
		PrepareCreate: func(b *admissionregistrationv1.ValidatingAdmissionPolicyBinding) { b.Generation = 1 },
		PrepareUpdate: func(b, old *admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
			if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
				b.Generation++
			}
		},
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("PolicyName", admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{}.SwaggerDoc()["policyName"]),
			meta.Column("ParamRef", admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{}.SwaggerDoc()["paramRef"]),
			meta.AgeColumn(),
		},
		Row: func(b *admissionregistrationv1.ValidatingAdmissionPolicyBinding, now time.Time) []any {
			return []any{b.Name, b.Spec.PolicyName, paramRefText(b.Spec.ParamRef), meta.Age(b, now)}
		},
		Validate:       validateValidatingBinding,
		ValidateUpdate: validateValidatingBindingUpdate,
		AnyFinalizer:   true,
	}.Resource()
}
