package admissionregistration

import (
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func validatingWebhookConfiguration() *api.Resource {
	return meta.Entry[*admissionregistrationv1.ValidatingWebhookConfiguration]{
		Group:   admissionregistrationv1.GroupName,
		Version: "v1", Kind: "ValidatingWebhookConfiguration", Plural: "validatingwebhookconfigurations",
		Categories:    []string{"api-extensions"},
		New:           meta.New[admissionregistrationv1.ValidatingWebhookConfiguration],
		NewList:       meta.Empty[admissionregistrationv1.ValidatingWebhookConfigurationList],
		Path:          "validatingwebhookconfigurations",
		Default:       defaultValidatingWebhookConfiguration,
		PrepareCreate: func(c *admissionregistrationv1.ValidatingWebhookConfiguration) { c.Generation = 1 },
		PrepareUpdate: func(c, old *admissionregistrationv1.ValidatingWebhookConfiguration) {
			if !equality.Semantic.DeepEqual(c.Webhooks, old.Webhooks) {
				c.Generation++
			}
		},
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Typed("Webhooks", "integer", "How many webhooks the configuration has."),
			meta.AgeColumn(),
		},
		Row: func(c *admissionregistrationv1.ValidatingWebhookConfiguration, now time.Time) []any {
			return []any{c.Name, int64(len(c.Webhooks)), meta.Age(c, now)}
		},
		Validate:       validateValidatingHooks,
		ValidateUpdate: validateValidatingHooksUpdate,
		AnyFinalizer:   true,
	}.Resource()
}

func defaultValidatingWebhookConfiguration(c *admissionregistrationv1.ValidatingWebhookConfiguration) {
	for i := range c.Webhooks {
		h := &c.Webhooks[i]
		defaultWebhook(webhookFields{
			&h.FailurePolicy, &h.MatchPolicy, &h.NamespaceSelector, &h.ObjectSelector, &h.TimeoutSeconds,
		})
		defaultClientConfig(&h.ClientConfig)
		for k := range h.Rules {
			defaultRule(&h.Rules[k].Rule)
		}
	}
}
