package flowcontrol

import flowcontrolv1 "k8s.io/api/flowcontrol/v1"

// mandatorySchema returns what a flow schema of that name must be; false for names that are free.
func mandatorySchema(name string) (flowcontrolv1.FlowSchemaSpec, bool) {
	switch name {
	case flowcontrolv1.FlowSchemaNameExempt:
		return everything(flowcontrolv1.PriorityLevelConfigurationNameExempt, 1, nil, "system:masters"), true
	case flowcontrolv1.FlowSchemaNameCatchAll:
		return everything(flowcontrolv1.PriorityLevelConfigurationNameCatchAll, flowcontrolv1.FlowSchemaMaxMatchingPrecedence,
			&flowcontrolv1.FlowDistinguisherMethod{Type: flowcontrolv1.FlowDistinguisherMethodByUserType},
			"system:unauthenticated", "system:authenticated"), true
	}
	return flowcontrolv1.FlowSchemaSpec{}, false
}

// everything matches all calls of some groups.
func everything(
	level string, precedence int32, method *flowcontrolv1.FlowDistinguisherMethod, groups ...string,
) flowcontrolv1.FlowSchemaSpec {
	subjects := make([]flowcontrolv1.Subject, len(groups))
	for i, g := range groups {
		subjects[i] = flowcontrolv1.Subject{
			Kind: flowcontrolv1.SubjectKindGroup, Group: &flowcontrolv1.GroupSubject{Name: g},
		}
	}
	all := []string{wildcard}
	return flowcontrolv1.FlowSchemaSpec{
		PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: level},
		MatchingPrecedence:         precedence,
		DistinguisherMethod:        method,
		Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
			Subjects: subjects,
			ResourceRules: []flowcontrolv1.ResourcePolicyRule{
				{Verbs: all, APIGroups: all, Resources: all, Namespaces: all, ClusterScope: true},
			},
			NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: all, NonResourceURLs: all}},
		}},
	}
}

// mandatoryCatchAll is the level for calls that no other one wants.
func mandatoryCatchAll() flowcontrolv1.PriorityLevelConfigurationSpec {
	return flowcontrolv1.PriorityLevelConfigurationSpec{
		Type: flowcontrolv1.PriorityLevelEnablementLimited,
		Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
			NominalConcurrencyShares: new(int32(5)),
			LendablePercent:          new(int32),
			LimitResponse:            flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject},
		},
	}
}
