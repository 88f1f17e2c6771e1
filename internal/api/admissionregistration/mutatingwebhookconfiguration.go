package admissionregistration

import (
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func mutatingWebhookConfiguration() *api.Resource {
	return meta.Entry[*admissionregistrationv1.MutatingWebhookConfiguration]{
		Group:   admissionregistrationv1.GroupName,
		Version: "v1", Kind: "MutatingWebhookConfiguration", Plural: "mutatingwebhookconfigurations",
		Categories:    []string{"api-extensions"},
		New:           meta.New[admissionregistrationv1.MutatingWebhookConfiguration],
		NewList:       meta.Empty[admissionregistrationv1.MutatingWebhookConfigurationList],
		Path:          "mutatingwebhookconfigurations",
		Default:       defaultMutatingWebhookConfiguration,
		PrepareCreate: func(c *admissionregistrationv1.MutatingWebhookConfiguration) { c.Generation = 1 },
		PrepareUpdate: func(c, old *admissionregistrationv1.MutatingWebhookConfiguration) {
			if !equality.Semantic.DeepEqual(c.Webhooks, old.Webhooks) {
				c.Generation++
			}
		},
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Typed("Webhooks", "integer", "How many webhooks the configuration has."),
			meta.AgeColumn(),
		},
		Row: func(c *admissionregistrationv1.MutatingWebhookConfiguration, now time.Time) []any {
			return []any{c.Name, int64(len(c.Webhooks)), meta.Age(c, now)}
		},
		Validate:       validateMutatingHooks,
		ValidateUpdate: validateMutatingHooksUpdate,
		AnyFinalizer:   true,
	}.Resource()
}

func defaultMutatingWebhookConfiguration(c *admissionregistrationv1.MutatingWebhookConfiguration) {
	for i := range c.Webhooks {
		h := &c.Webhooks[i]
		defaultWebhook(webhookFields{
			&h.FailurePolicy, &h.MatchPolicy, &h.NamespaceSelector, &h.ObjectSelector, &h.TimeoutSeconds,
		})
		if h.ReinvocationPolicy == nil {
			h.ReinvocationPolicy = new(admissionregistrationv1.NeverReinvocationPolicy)
		}
		defaultClientConfig(&h.ClientConfig)
		for k := range h.Rules {
			defaultRule(&h.Rules[k].Rule)
		}
	}
}
