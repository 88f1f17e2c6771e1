package certificates

import (
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func podCertificateRequest() *api.Resource {
	return meta.Entry[*certificatesv1.PodCertificateRequest]{
		Group:   certificatesv1.GroupName,
		Version: "v1", Kind: "PodCertificateRequest", Plural: "podcertificaterequests",
		Namespaced: true,
		New:        meta.New[certificatesv1.PodCertificateRequest],
		NewList:    meta.Empty[certificatesv1.PodCertificateRequestList],
		Path:       "podcertificaterequests",
		Subresources: []api.Subresource{
			meta.Status(certificatesv1.SchemeGroupVersion.WithKind("PodCertificateRequest"),
				meta.Empty[certificatesv1.PodCertificateRequest], "metadata", "spec"),
		},
		Default: func(r *certificatesv1.PodCertificateRequest) {
			if r.Spec.MaxExpirationSeconds == nil {
				r.Spec.MaxExpirationSeconds = new(int32(24 * 60 * 60))
			}
		},
		PrepareCreate: func(r *certificatesv1.PodCertificateRequest) {
			r.Status = certificatesv1.PodCertificateRequestStatus{}
		},
		PrepareUpdate: func(r, old *certificatesv1.PodCertificateRequest) { r.Status = old.Status },
		PrepareStatus: func(r, old *certificatesv1.PodCertificateRequest) {
			r.Spec = old.Spec
			metav1.ResetObjectMetaForStatus(&r.ObjectMeta, &old.ObjectMeta)
		},
		Columns: podRequestColumns(),
		Row:     podRequestRow,
		Fields: func(r *certificatesv1.PodCertificateRequest) fields.Set {
			return fields.Set{
				"spec.signerName": r.Spec.SignerName,
				"spec.podName":    r.Spec.PodName,
				"spec.nodeName":   string(r.Spec.NodeName),
			}
		},
		Indexes: map[string]func(*certificatesv1.PodCertificateRequest) []string{
			api.IndexNode: func(r *certificatesv1.PodCertificateRequest) []string { return []string{string(r.Spec.NodeName)} },
		},
		Validate:       validatePodRequest,
		ValidateUpdate: validatePodRequestUpdate,
		ValidateStatus: validatePodRequestStatus,
	}.Resource()
}

func podRequestColumns() []metav1.TableColumnDefinition {
	spec := certificatesv1.PodCertificateRequestSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("PodName", spec["podName"]),
		meta.Column("ServiceAccountName", spec["serviceAccountName"]),
		meta.Column("NodeName", spec["nodeName"]),
		meta.Column("SignerName", spec["signerName"]),
		meta.Column("State", "Whether the request is pending, or how it ended."),
		meta.Column("UnverifiedUserAnnotations", spec["unverifiedUserAnnotations"]),
	}
}

func podRequestRow(r *certificatesv1.PodCertificateRequest, _ time.Time) []any {
	state := "Pending"
	for i := range r.Status.Conditions {
		switch r.Status.Conditions[i].Type {
		case certificatesv1.PodCertificateRequestConditionTypeIssued:
			state = "Issued"
		case certificatesv1.PodCertificateRequestConditionTypeDenied:
			state = "Denied"
		case certificatesv1.PodCertificateRequestConditionTypeFailed:
			state = "Failed"
		}
	}
	return []any{
		r.Name, r.Spec.PodName, r.Spec.ServiceAccountName, string(r.Spec.NodeName), r.Spec.SignerName, state,
		labels.FormatLabels(r.Spec.UnverifiedUserAnnotations),
	}
}
