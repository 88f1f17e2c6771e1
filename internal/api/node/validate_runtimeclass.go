package node

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

func validateClass(c *nodev1.RuntimeClass) field.ErrorList {
	errs := rule.ShortName(field.NewPath("handler"), c.Handler)
	if c.Overhead != nil {
		errs = append(errs, core.ValidateOverhead(field.NewPath("overhead"), c.Overhead.PodFixed)...)
	}
	if c.Scheduling != nil {
		at := field.NewPath("scheduling")
		errs = append(errs, rule.Labels(at.Child("nodeSelector"), c.Scheduling.NodeSelector)...)
		errs = append(errs, validateTolerations(at.Child("tolerations"), c.Scheduling.Tolerations)...)
	}
	return errs
}

func validateClassUpdate(c, old *nodev1.RuntimeClass) field.ErrorList {
	return append(validateClass(c), rule.Fixed(field.NewPath("handler"), c.Handler, old.Handler)...)
}

// validateTolerations refuses a toleration that differs from an earlier one in its seconds only.
func validateTolerations(at *field.Path, list []corev1.Toleration) field.ErrorList {
	errs := core.ValidateTolerations(at, list)
	seen := map[corev1.Toleration]bool{}
	for i, t := range list {
		key := t
		key.TolerationSeconds = nil
		if seen[key] {
			errs = append(errs, field.Duplicate(at.Index(i), t))
		}
		seen[key] = true
	}
	return errs
}

func warnClass(c, _ *nodev1.RuntimeClass) []string {
	if c.Scheduling == nil {
		return nil
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(c.Scheduling.NodeSelector)) {
		if why := core.DeprecatedNodeLabel(key); why != "" {
			out = append(out, "scheduling.nodeSelector: "+why)
		}
	}
	return out
}
