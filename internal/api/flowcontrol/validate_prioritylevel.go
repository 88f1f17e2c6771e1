package flowcontrol

import (
	"fmt"
	"math"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

const (
	maxQueues = 10 * 1000 * 1000
	// maxEntropy is how many bits of a hash there are to deal hands of queues from.
	maxEntropy = 60
	// zeroShares is how the last beta version told zero from absent; no object has it any more.
	zeroShares = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
)

func validateLevelUpdate(p, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	return validateLevel(p)
}

func validateLevel(p *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	at, s := field.NewPath("spec"), &p.Spec
	var errs field.ErrorList
	if _, ok := p.Annotations[zeroShares]; ok {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "annotations"),
			fmt.Sprintf("annotation '%s' is forbidden", zeroShares)))
	}
	isExempt := s.Type == flowcontrolv1.PriorityLevelEnablementExempt
	if isExempt != (p.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt) {
		errs = append(errs, field.Invalid(at.Child("type"), s.Type, "must be 'Exempt' if and only if `name` is 'exempt'"))
	}
	isLimited := s.Type == flowcontrolv1.PriorityLevelEnablementLimited
	if s.Limited != nil && !isLimited {
		errs = append(errs, field.Forbidden(at.Child("limited"), ""))
		errs = append(errs, validateResponse(at.Child("limited", "limitResponse"), &s.Limited.LimitResponse)...)
	}
	if s.Exempt != nil && !isExempt {
		errs = append(errs, field.Forbidden(at.Child("exempt"), ""))
	}
	switch s.Type {
	case flowcontrolv1.PriorityLevelEnablementExempt:
		errs = append(errs, validateExempt(at.Child("exempt"), s.Exempt)...)
	case flowcontrolv1.PriorityLevelEnablementLimited:
		errs = append(errs, validateLimited(at.Child("limited"), s.Limited)...)
	default:
		errs = append(errs, rule.GivenOneOf(at.Child("type"), s.Type,
			flowcontrolv1.PriorityLevelEnablementExempt, flowcontrolv1.PriorityLevelEnablementLimited)...)
	}
	errs = append(errs, validateMandatory(at, p)...)
	return append(errs, validateLevelStatus(p, nil)...)
}

// validateMandatory lets of the two levels that must exist only the exempt one's shares change.
func validateMandatory(at *field.Path, p *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	switch p.Name {
	case flowcontrolv1.PriorityLevelConfigurationNameExempt:
		fixed := flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementExempt, Exempt: p.Spec.Exempt,
		}
		if !equality.Semantic.DeepEqual(p.Spec, fixed) {
			return field.ErrorList{field.Invalid(at, p.Spec,
				"spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")}
		}
	case flowcontrolv1.PriorityLevelConfigurationNameCatchAll:
		if !equality.Semantic.DeepEqual(p.Spec, mandatoryCatchAll()) {
			return field.ErrorList{field.Invalid(at, p.Spec, "spec of 'catch-all' must equal the fixed value")}
		}
	}
	return nil
}

func validateLevelStatus(p, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	types := make([]string, len(p.Status.Conditions))
	for i := range types {
		types[i] = string(p.Status.Conditions[i].Type)
	}
	return validateConditionTypes(types)
}

func validateExempt(at *field.Path, e *flowcontrolv1.ExemptPriorityLevelConfiguration) field.ErrorList {
	if e == nil {
		return nil
	}
	return validateShares(at, e.NominalConcurrencyShares, e.LendablePercent)
}

func validateShares(at *field.Path, shares, lendable *int32) field.ErrorList {
	var errs field.ErrorList
	if shares != nil && *shares < 0 {
		errs = append(errs, field.Invalid(at.Child("nominalConcurrencyShares"), *shares, "must be a non-negative integer"))
	}
	if lendable != nil && (*lendable < 0 || *lendable > 100) {
		errs = append(errs, field.Invalid(at.Child("lendablePercent"), *lendable, "must be between 0 and 100, inclusive"))
	}
	return errs
}

func validateLimited(at *field.Path, l *flowcontrolv1.LimitedPriorityLevelConfiguration) field.ErrorList {
	if l == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := validateShares(at, l.NominalConcurrencyShares, l.LendablePercent)
	if b := l.BorrowingLimitPercent; b != nil && *b < 0 {
		errs = append(errs, field.Invalid(at.Child("borrowingLimitPercent"), *b, "if specified, must be a non-negative integer"))
	}
	if q := l.LimitResponse.Queuing; q != nil && l.LimitResponse.Type == flowcontrolv1.LimitResponseTypeQueue {
		errs = append(errs, validateQueuing(at.Child("limitResponse", "queuing"), q)...)
	}
	if t := l.LimitResponse.Type; t != "" {
		errs = append(errs, rule.OneOf(at.Child("limitResponse", "type"), t,
			flowcontrolv1.LimitResponseTypeQueue, flowcontrolv1.LimitResponseTypeReject)...)
	}
	return append(errs, validateResponse(at.Child("limitResponse"), &l.LimitResponse)...)
}

// validateResponse wants queues when calls are to queue and none otherwise.
func validateResponse(at *field.Path, r *flowcontrolv1.LimitResponse) field.ErrorList {
	errs := rule.Given(at.Child("type"), r.Type)
	switch queues := r.Type == flowcontrolv1.LimitResponseTypeQueue; {
	case queues && r.Queuing == nil:
		errs = append(errs, field.Required(at.Child("queuing"), ""))
	case !queues && r.Queuing != nil:
		errs = append(errs, field.Forbidden(at.Child("queuing"), ""))
	}
	return errs
}

func validateQueuing(at *field.Path, q *flowcontrolv1.QueuingConfiguration) field.ErrorList {
	const positive = "must be positive"
	var errs field.ErrorList
	if q.QueueLengthLimit <= 0 {
		errs = append(errs, field.Invalid(at.Child("queueLengthLimit"), q.QueueLengthLimit, positive))
	}
	switch {
	case q.Queues <= 0:
		errs = append(errs, field.Invalid(at.Child("queues"), q.Queues, positive))
	case q.Queues > maxQueues:
		errs = append(errs, field.Invalid(at.Child("queues"), q.Queues, fmt.Sprintf("must not be greater than %d", maxQueues)))
	}
	hand := at.Child("handSize")
	switch {
	case q.HandSize <= 0:
		errs = append(errs, field.Invalid(hand, q.HandSize, positive))
	case q.HandSize > q.Queues:
		errs = append(errs, field.Invalid(hand, q.HandSize, fmt.Sprintf("should not be greater than queues (%d)", q.Queues)))
	case math.Ceil(math.Log2(float64(q.Queues))*float64(q.HandSize)) > maxEntropy:
		errs = append(errs, field.Invalid(hand, q.HandSize,
			fmt.Sprintf("required entropy bits of deckSize %d and handSize %d should not be greater than %d",
				q.Queues, q.HandSize, maxEntropy)))
	}
	return errs
}
