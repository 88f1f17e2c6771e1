package bootstrap

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func flowMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Annotations: map[string]string{flowcontrolv1.AutoUpdateAnnotationKey: "true"}}
}

// priorityLevels are the shares of concurrent calls, upstream's mandatory and suggested ones.
func priorityLevels() []*flowcontrolv1.PriorityLevelConfiguration {
	levels := []*flowcontrolv1.PriorityLevelConfiguration{
		{
			ObjectMeta: flowMeta("exempt"),
			Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
				Type: flowcontrolv1.PriorityLevelEnablementExempt,
				Exempt: &flowcontrolv1.ExemptPriorityLevelConfiguration{
					NominalConcurrencyShares: ptr.To[int32](0), LendablePercent: ptr.To[int32](0),
				},
			},
		},
		limitedLevel("catch-all", 5, 0, flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject}),
	}
	for _, l := range []struct {
		name                               string
		shares, lendable, queues, handSize int32
	}{
		{"system", 30, 33, 64, 6},
		{"node-high", 40, 25, 64, 6},
		{"leader-election", 10, 0, 16, 4},
		{"workload-high", 40, 50, 128, 6},
		{"workload-low", 100, 90, 128, 6},
		{"global-default", 20, 50, 128, 6},
	} {
		levels = append(levels, limitedLevel(l.name, l.shares, l.lendable, flowcontrolv1.LimitResponse{
			Type:    flowcontrolv1.LimitResponseTypeQueue,
			Queuing: &flowcontrolv1.QueuingConfiguration{Queues: l.queues, HandSize: l.handSize, QueueLengthLimit: 50},
		}))
	}
	return levels
}

func limitedLevel(
	name string, shares, lendable int32, response flowcontrolv1.LimitResponse,
) *flowcontrolv1.PriorityLevelConfiguration {
	return &flowcontrolv1.PriorityLevelConfiguration{
		ObjectMeta: flowMeta(name),
		Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementLimited,
			Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
				NominalConcurrencyShares: &shares, LendablePercent: &lendable, LimitResponse: response,
			},
		},
	}
}

// flowSchemas sort calls into the levels, upstream's mandatory and suggested ones.
func flowSchemas() []*flowcontrolv1.FlowSchema {
	byUser, byNamespace := flowcontrolv1.FlowDistinguisherMethodByUserType, flowcontrolv1.FlowDistinguisherMethodByNamespaceType
	everyone := append(flowGroup("system:unauthenticated"), flowGroup("system:authenticated")...)
	kubeSystem := []flowcontrolv1.Subject{{
		Kind:           flowcontrolv1.SubjectKindServiceAccount,
		ServiceAccount: &flowcontrolv1.ServiceAccountSubject{Namespace: metav1.NamespaceSystem, Name: "*"},
	}}
	leaders := append(append(flowUser("system:kube-controller-manager"), flowUser("system:kube-scheduler")...), kubeSystem...)
	anything := func(subjects []flowcontrolv1.Subject) flowcontrolv1.PolicyRulesWithSubjects {
		all := []string{"*"}
		return flowcontrolv1.PolicyRulesWithSubjects{
			Subjects: subjects,
			ResourceRules: []flowcontrolv1.ResourcePolicyRule{
				{Verbs: all, APIGroups: all, Resources: all, Namespaces: all, ClusterScope: true},
			},
			NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: all, NonResourceURLs: all}},
		}
	}
	leases := func(verbs ...string) flowcontrolv1.ResourcePolicyRule {
		return flowcontrolv1.ResourcePolicyRule{
			Verbs: verbs, APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Namespaces: []string{"*"},
		}
	}
	return []*flowcontrolv1.FlowSchema{
		flowSchema("exempt", "exempt", 1, "", anything(flowGroup("system:masters"))),
		flowSchema("probes", "exempt", 2, "", flowcontrolv1.PolicyRulesWithSubjects{
			Subjects: everyone,
			NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{
				{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz", "/readyz", "/livez"}},
			},
		}),
		flowSchema("system-leader-election", "leader-election", 100, byUser, flowcontrolv1.PolicyRulesWithSubjects{
			Subjects:      leaders,
			ResourceRules: []flowcontrolv1.ResourcePolicyRule{leases("get", "create", "update")},
		}),
		flowSchema("system-node-high", "node-high", 400, byUser, flowcontrolv1.PolicyRulesWithSubjects{
			Subjects: flowGroup("system:nodes"),
			ResourceRules: []flowcontrolv1.ResourcePolicyRule{
				{
					Verbs: []string{"*"}, APIGroups: []string{""}, Resources: []string{"nodes", "nodes/status"},
					Namespaces: []string{"*"}, ClusterScope: true,
				},
				leases("*"),
			},
		}),
		flowSchema("system-nodes", "system", 500, byUser, anything(flowGroup("system:nodes"))),
		flowSchema("kube-controller-manager", "workload-high", 800, byNamespace,
			anything(flowUser("system:kube-controller-manager"))),
		flowSchema("kube-scheduler", "workload-high", 800, byNamespace, anything(flowUser("system:kube-scheduler"))),
		flowSchema("kube-system-service-accounts", "workload-high", 900, byNamespace, anything(kubeSystem)),
		flowSchema("service-accounts", "workload-low", 9000, byUser, anything(flowGroup("system:serviceaccounts"))),
		flowSchema("global-default", "global-default", 9900, byUser, anything(everyone)),
		flowSchema("catch-all", "catch-all", 10000, byUser, anything(everyone)),
	}
}

func flowSchema(
	name, level string, precedence int32, distinguisher flowcontrolv1.FlowDistinguisherMethodType,
	rules flowcontrolv1.PolicyRulesWithSubjects,
) *flowcontrolv1.FlowSchema {
	schema := &flowcontrolv1.FlowSchema{
		ObjectMeta: flowMeta(name),
		Spec: flowcontrolv1.FlowSchemaSpec{
			PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: level},
			MatchingPrecedence:         precedence,
			Rules:                      []flowcontrolv1.PolicyRulesWithSubjects{rules},
		},
	}
	if distinguisher != "" {
		schema.Spec.DistinguisherMethod = &flowcontrolv1.FlowDistinguisherMethod{Type: distinguisher}
	}
	return schema
}

func flowGroup(name string) []flowcontrolv1.Subject {
	return []flowcontrolv1.Subject{
		{Kind: flowcontrolv1.SubjectKindGroup, Group: &flowcontrolv1.GroupSubject{Name: name}},
	}
}

func flowUser(name string) []flowcontrolv1.Subject {
	return []flowcontrolv1.Subject{
		{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: name}},
	}
}
