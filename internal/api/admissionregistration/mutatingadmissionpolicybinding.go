package admissionregistration

import (
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func mutatingAdmissionPolicyBinding() *api.Resource {
	return meta.Entry[*admissionregistrationv1.MutatingAdmissionPolicyBinding]{
		Group:   admissionregistrationv1.GroupName,
		Version: "v1", Kind: "MutatingAdmissionPolicyBinding", Plural: "mutatingadmissionpolicybindings",
		Categories: []string{"api-extensions"},
		New:        meta.New[admissionregistrationv1.MutatingAdmissionPolicyBinding],
		NewList:    meta.Empty[admissionregistrationv1.MutatingAdmissionPolicyBindingList],
		Path:       "mutatingadmissionpolicybindings",
		Default: func(b *admissionregistrationv1.MutatingAdmissionPolicyBinding) {
			defaultMatchResources(b.Spec.MatchResources)
		},
		PrepareCreate: func(b *admissionregistrationv1.MutatingAdmissionPolicyBinding) { b.Generation = 1 },
		PrepareUpdate: func(b, old *admissionregistrationv1.MutatingAdmissionPolicyBinding) {
			if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
				b.Generation++
			}
		},
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("PolicyName", admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{}.SwaggerDoc()["policyName"]),
			meta.Column("ParamRef", admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{}.SwaggerDoc()["paramRef"]),
			meta.AgeColumn(),
		},
		Row: func(b *admissionregistrationv1.MutatingAdmissionPolicyBinding, now time.Time) []any {
			return []any{b.Name, b.Spec.PolicyName, paramRefText(b.Spec.ParamRef), meta.Age(b, now)}
		},
		Validate:       validateMutatingBinding,
		ValidateUpdate: validateMutatingBindingUpdate,
		AnyFinalizer:   true,
	}.Resource()
}
