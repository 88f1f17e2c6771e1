package certificates

import (
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func certificateSigningRequest() *api.Resource {
	gvk := certificatesv1.SchemeGroupVersion.WithKind("CertificateSigningRequest")
	return meta.Entry[*certificatesv1.CertificateSigningRequest]{
		Group:   certificatesv1.GroupName,
		Version: "v1", Kind: "CertificateSigningRequest", Plural: "certificatesigningrequests",
		Short:   []string{"csr"},
		New:     meta.New[certificatesv1.CertificateSigningRequest],
		NewList: meta.Empty[certificatesv1.CertificateSigningRequestList],
		Path:    "certificatesigningrequests",
		Subresources: []api.Subresource{
			{
				Name: "approval", GVK: gvk, New: meta.Empty[certificatesv1.CertificateSigningRequest], Verbs: meta.WriteVerbs(),
				PrepareUpdate:  meta.Update(prepareApproval),
				ValidateUpdate: meta.ValidateUpdate(false, validateApproval),
				ResetFields:    []string{"spec", "status.certificate"},
			},
			meta.Status(gvk, meta.Empty[certificatesv1.CertificateSigningRequest], "spec", "status.conditions"),
		},
		PrepareCreate: prepareRequest,
		PrepareUpdate: func(r, old *certificatesv1.CertificateSigningRequest) {
			r.Spec = old.Spec
			r.Status = old.Status
		},
		PrepareStatus:       prepareRequestStatus,
		Stamp:               stampConditions,
		SetRequester:        setRequester,
		Name:                meta.AnyName,
		UnconditionalUpdate: true,
		ResetFields:         []string{"spec", "status"},
		Columns:             requestColumns(),
		Row:                 requestRow,
		Fields: func(r *certificatesv1.CertificateSigningRequest) fields.Set {
			return fields.Set{"spec.signerName": r.Spec.SignerName}
		},
		Validate:       validateRequest,
		ValidateUpdate: validateRequestUpdate,
		ValidateStatus: validateRequestStatus,
	}.Resource()
}

// prepareRequest clears the requester, which only the server fills in, and the status.
func prepareRequest(r *certificatesv1.CertificateSigningRequest) {
	setRequester(r, api.Requester{})
	r.Status = certificatesv1.CertificateSigningRequestStatus{}
}

func setRequester(r *certificatesv1.CertificateSigningRequest, who api.Requester) {
	r.Spec.Username, r.Spec.UID, r.Spec.Groups, r.Spec.Extra = who.Name, who.UID, who.Groups, nil
	for key, values := range who.Extra {
		if r.Spec.Extra == nil {
			r.Spec.Extra = make(map[string]certificatesv1.ExtraValue, len(who.Extra))
		}
		r.Spec.Extra[key] = values
	}
}

// prepareApproval lets only the conditions change.
func prepareApproval(r, old *certificatesv1.CertificateSigningRequest) {
	conditions := r.Status.Conditions
	r.Spec = old.Spec
	r.Status = old.Status
	r.Status.Conditions = conditions
}

// prepareRequestStatus keeps approvals and denials as they were: only the approval subresource changes them.
func prepareRequestStatus(r, old *certificatesv1.CertificateSigningRequest) {
	r.Spec = old.Spec
	for _, t := range []certificatesv1.RequestConditionType{
		certificatesv1.CertificateApproved, certificatesv1.CertificateDenied,
	} {
		keepConditions(r, old, t)
	}
}

func keepConditions(r, old *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) {
	is, was := conditionsOf(r, t), conditionsOf(old, t)
	if len(is) != len(was) {
		return
	}
	for i := range is {
		*is[i] = *was[i]
	}
}

func conditionsOf(
	r *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType,
) []*certificatesv1.CertificateSigningRequestCondition {
	var out []*certificatesv1.CertificateSigningRequestCondition
	for i := range r.Status.Conditions {
		if r.Status.Conditions[i].Type == t {
			out = append(out, &r.Status.Conditions[i])
		}
	}
	return out
}

// stampConditions gives times to conditions that came without: when they were written, and when their status last changed.
func stampConditions(r, old *certificatesv1.CertificateSigningRequest, now time.Time) {
	if old != nil && equality.Semantic.DeepEqual(r.Status.Conditions, old.Status.Conditions) {
		return // they may even be shared
	}
	for i := range r.Status.Conditions {
		c := &r.Status.Conditions[i]
		if c.LastUpdateTime.IsZero() {
			c.LastUpdateTime = metav1.NewTime(now)
		}
		if !c.LastTransitionTime.IsZero() {
			continue
		}
		c.LastTransitionTime = metav1.NewTime(now)
		if old == nil {
			continue
		}
		for _, was := range conditionsOf(old, c.Type) {
			if was.Status == c.Status && !was.LastTransitionTime.IsZero() {
				c.LastTransitionTime = was.LastTransitionTime
				break
			}
		}
	}
}

func requestColumns() []metav1.TableColumnDefinition {
	spec := certificatesv1.CertificateSigningRequestSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.AgeColumn(),
		meta.Column("SignerName", spec["signerName"]),
		meta.Column("Requestor", spec["username"]),
		meta.Column("RequestedDuration", spec["expirationSeconds"]),
		meta.Column("Condition", certificatesv1.CertificateSigningRequestStatus{}.SwaggerDoc()["conditions"]),
	}
}

func requestRow(r *certificatesv1.CertificateSigningRequest, now time.Time) []any {
	requested := meta.None
	if s := r.Spec.ExpirationSeconds; s != nil {
		requested = duration.HumanDuration(time.Duration(*s) * time.Second)
	}
	return []any{r.Name, meta.Age(r, now), meta.OrNone(r.Spec.SignerName), r.Spec.Username, requested, requestStatus(r)}
}

func requestStatus(r *certificatesv1.CertificateSigningRequest) string {
	has := func(t certificatesv1.RequestConditionType) bool { return len(conditionsOf(r, t)) > 0 }
	status := "Pending"
	switch {
	case has(certificatesv1.CertificateDenied):
		status = "Denied"
	case has(certificatesv1.CertificateApproved):
		status = "Approved"
	}
	if has(certificatesv1.CertificateFailed) {
		status += ",Failed"
	}
	if len(r.Status.Certificate) > 0 {
		status += ",Issued"
	}
	return status
}
