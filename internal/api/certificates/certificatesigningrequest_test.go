package certificates

import (
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
)

func request(conditions ...certificatesv1.CertificateSigningRequestCondition) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{
		Spec:   certificatesv1.CertificateSigningRequestSpec{Username: "jane", SignerName: "example.com/s"},
		Status: certificatesv1.CertificateSigningRequestStatus{Conditions: conditions},
	}
}

func condition(t certificatesv1.RequestConditionType, reason string) certificatesv1.CertificateSigningRequestCondition {
	return certificatesv1.CertificateSigningRequestCondition{Type: t, Status: corev1.ConditionTrue, Reason: reason}
}

func TestRequesterIsTheServers(t *testing.T) {
	r := request(condition(certificatesv1.CertificateApproved, "self"))
	prepareRequest(r)
	if r.Spec.Username != "" || len(r.Status.Conditions) != 0 {
		t.Errorf("a client chose its name or approved itself: %+v", r)
	}
	setRequester(r, api.Requester{Name: "joe", Groups: []string{"g"}, Extra: map[string][]string{"k": {"v"}}})
	if r.Spec.Username != "joe" || r.Spec.Groups[0] != "g" || r.Spec.Extra["k"][0] != "v" {
		t.Errorf("requester %+v", r.Spec)
	}
}

func TestStatusWriteKeepsApproval(t *testing.T) {
	old := request(condition(certificatesv1.CertificateApproved, "old"))
	r := request(condition(certificatesv1.CertificateFailed, "new"), condition(certificatesv1.CertificateApproved, "forged"))
	r.Spec.Username = "mallory"
	prepareRequestStatus(r, old)
	if r.Status.Conditions[1].Reason != "old" || r.Status.Conditions[0].Reason != "new" || r.Spec.Username != "jane" {
		t.Errorf("after a write of status: %+v %+v", r.Spec, r.Status.Conditions)
	}
}

func TestApprovalWritesConditionsOnly(t *testing.T) {
	old := request()
	r := request(condition(certificatesv1.CertificateApproved, "yes"))
	r.Status.Certificate = []byte("forged")
	prepareApproval(r, old)
	if len(r.Status.Conditions) != 1 || r.Status.Certificate != nil {
		t.Errorf("after approval: %+v", r.Status)
	}
}

func TestConditionTimes(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	was := condition(certificatesv1.CertificateApproved, "old")
	was.LastTransitionTime = metav1.NewTime(now.Add(-time.Hour))
	old := request(was)
	r := request(condition(certificatesv1.CertificateApproved, "new"), condition(certificatesv1.CertificateFailed, "new"))
	stampConditions(r, old, now)
	c := r.Status.Conditions
	if !c[0].LastUpdateTime.Time.Equal(now) || !c[0].LastTransitionTime.Equal(&was.LastTransitionTime) ||
		!c[1].LastTransitionTime.Time.Equal(now) {
		t.Errorf("times %+v", c)
	}
	// A write that leaves the conditions alone shares them with the old object.
	shared := request()
	shared.Status = request(condition(certificatesv1.CertificateApproved, "untimed")).Status
	same := &certificatesv1.CertificateSigningRequest{Status: shared.Status}
	stampConditions(same, shared, now)
	if !shared.Status.Conditions[0].LastUpdateTime.IsZero() {
		t.Error("the old object was changed")
	}
}

func TestRequestStatusText(t *testing.T) {
	for want, r := range map[string]*certificatesv1.CertificateSigningRequest{
		"Pending":         request(),
		"Approved":        request(condition(certificatesv1.CertificateApproved, "")),
		"Denied":          request(condition(certificatesv1.CertificateApproved, ""), condition(certificatesv1.CertificateDenied, "")),
		"Approved,Failed": request(condition(certificatesv1.CertificateApproved, ""), condition(certificatesv1.CertificateFailed, "")),
	} {
		if got := requestStatus(r); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	r := request(condition(certificatesv1.CertificateApproved, ""))
	r.Status.Certificate = []byte("x")
	if got := requestStatus(r); got != "Approved,Issued" {
		t.Errorf("got %s", got)
	}
}

func TestBundleNames(t *testing.T) {
	for name, c := range map[string]struct {
		name, signer string
		ok           bool
	}{
		"plain":            {"a", "", true},
		"colon alone":      {"a:b", "", false},
		"of a signer":      {"example.com:s:a", "example.com/s", true},
		"of another":       {"example.com:t:a", "example.com/s", false},
		"no rest":          {"example.com:s:", "example.com/s", false},
		"upper case":       {"A", "", false},
		"signer uppercase": {"example.com:s:A", "example.com/s", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: c.name}}
			b.Spec.SignerName = c.signer
			if errs := validateBundleName(b); (len(errs) == 0) != c.ok {
				t.Errorf("errors %v", errs)
			}
		})
	}
}
