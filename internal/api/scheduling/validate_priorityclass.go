package scheduling

import (
	"fmt"
	"strings"

	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

const (
	systemPrefix = "system-"
	// maxUserPriority is the highest value that a class outside of the system can have.
	maxUserPriority = 1000000000
	// Values of the two classes that the system has.
	clusterCritical = 2 * maxUserPriority
	nodeCritical    = clusterCritical + 1000
)

func validateClass(c *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	switch {
	case strings.HasPrefix(c.Name, systemPrefix):
		if why := notOfSystem(c); why != "" {
			errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"),
				"priority class names with '"+systemPrefix+"' prefix are reserved for system use only. error: "+why))
		}
	case c.Value > maxUserPriority:
		errs = append(errs, field.Forbidden(field.NewPath("value"),
			fmt.Sprintf("maximum allowed value of a user defined priority is %v", maxUserPriority)))
	}
	return append(errs, core.ValidatePreemptionPolicy(field.NewPath("preemptionPolicy"), c.PreemptionPolicy)...)
}

// notOfSystem says why the class is none of the two that the system has; empty when it is one.
func notOfSystem(c *schedulingv1.PriorityClass) string {
	var value int32
	switch c.Name {
	case "system-node-critical":
		value = nodeCritical
	case "system-cluster-critical":
		value = clusterCritical
	default:
		return c.Name + " is not a known system priority class"
	}
	if c.Value != value {
		return fmt.Sprintf("value of %v PriorityClass must be %v", c.Name, value)
	}
	if c.GlobalDefault {
		return fmt.Sprintf("globalDefault of %v PriorityClass must be false", c.Name)
	}
	return ""
}

func validateClassUpdate(c, old *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if c.Value != old.Value {
		errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
	}
	return append(errs, rule.Unchanged(field.NewPath("preemptionPolicy"), c.PreemptionPolicy, old.PreemptionPolicy)...)
}
