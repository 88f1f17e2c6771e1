package batch

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
	"coracle.dev/coracle/internal/api/rule"
)

// maxCronJobName leaves room for the time that the jobs' names end in: a dash and ten digits.
const maxCronJobName = 63 - 11

func validateCronJob(c *batchv1.CronJob) field.ErrorList {
	errs := slices.Concat(
		validateCronJobSpec(&c.Spec, nil, false),
		validateTimeZone(specAt().Child("timeZone"), c.Spec.TimeZone))
	if len(c.Name) > maxCronJobName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, "must be no more than 52 characters"))
	}
	return errs
}

func validateCronJobUpdate(c, old *batchv1.CronJob) field.ErrorList {
	errs := validateCronJobSpec(&c.Spec, &old.Spec.JobTemplate.Spec.Template, strings.Contains(old.Spec.Schedule, "TZ"))
	if !samePtr(c.Spec.TimeZone, old.Spec.TimeZone) {
		errs = append(errs, validateTimeZone(specAt().Child("timeZone"), c.Spec.TimeZone)...)
	}
	return errs
}

// validateCronJobSpec judges all but the time zone; zoneInSchedule lets the schedule name one, as older versions did.
func validateCronJobSpec(s *batchv1.CronJobSpec, old *corev1.PodTemplateSpec, zoneInSchedule bool) field.ErrorList {
	at := specAt()
	errs := rule.Given(at.Child("schedule"), s.Schedule)
	if s.Schedule != "" {
		errs = validateSchedule(at.Child("schedule"), s, zoneInSchedule)
	}
	errs = slices.Concat(errs,
		rule.MaybeNonNegative(at.Child("startingDeadlineSeconds"), s.StartingDeadlineSeconds),
		rule.GivenOneOf(at.Child("concurrencyPolicy"), s.ConcurrencyPolicy,
			batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent),
		validateJobSpec(at.Child("jobTemplate", "spec"), &s.JobTemplate.Spec, old))
	job, template := at.Child("jobTemplate", "spec"), &s.JobTemplate.Spec
	if template.Selector != nil {
		errs = append(errs, field.Invalid(job.Child("selector"), template.Selector, "`selector` will be auto-generated"))
	}
	if meta.Deref(template.ManualSelector) {
		errs = append(errs, field.NotSupported(job.Child("manualSelector"), template.ManualSelector, []string{"nil", "false"}))
	}
	return slices.Concat(errs,
		rule.MaybeNonNegative(at.Child("successfulJobsHistoryLimit"), s.SuccessfulJobsHistoryLimit),
		rule.MaybeNonNegative(at.Child("failedJobsHistoryLimit"), s.FailedJobsHistoryLimit))
}

func validateSchedule(at *field.Path, s *batchv1.CronJobSpec, zoneInSchedule bool) field.ErrorList {
	var errs field.ErrorList
	if err := parseSchedule(s.Schedule); err != nil {
		errs = append(errs, field.Invalid(at, s.Schedule, err.Error()))
	}
	if !strings.Contains(s.Schedule, "TZ") {
		return errs
	}
	switch {
	case !zoneInSchedule:
		errs = append(errs, field.Invalid(at, s.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	case s.TimeZone != nil:
		errs = append(errs, field.Invalid(at, s.Schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
	}
	return errs
}

// parseSchedule returns what is wrong with a schedule. The parser panics on some texts that begin with a time zone.
func parseSchedule(text string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("invalid schedule format: %v", r)
		}
	}()
	_, err = cron.ParseStandard(text)
	return err
}

// zonePart is a part of a zone's name between slashes, in the characters of the time zone database and its older names.
var zonePart = regexp.MustCompile(`^[A-Za-z\.\-_0-9+]{1,14}$`)

func validateTimeZone(at *field.Path, zone *string) field.ErrorList {
	if zone == nil {
		return nil
	}
	if *zone == "" {
		return field.ErrorList{field.Invalid(at, zone, "timeZone must be nil or non-empty string")}
	}
	for part := range strings.SplitSeq(*zone, "/") {
		// The name is a path in the database.
		if part == "." || part == ".." || strings.HasPrefix(part, "-") || !zonePart.MatchString(part) {
			return field.ErrorList{field.Invalid(at, zone, "unknown time zone "+*zone)}
		}
	}
	var errs field.ErrorList
	if strings.EqualFold(*zone, "Local") {
		errs = append(errs, field.Invalid(at, zone,
			"timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"))
	}
	if _, err := time.LoadLocation(*zone); err != nil {
		errs = append(errs, field.Invalid(at, zone, err.Error()))
	}
	return errs
}

func warnCronJob(c, old *batchv1.CronJob) []string {
	at := specAt().Child("jobTemplate", "spec")
	if old == nil {
		return append(core.WarnPodName(c.Name), warnJobSpec(at, &c.Spec.JobTemplate.Spec)...)
	}
	var out []string
	if c.Generation != old.Generation {
		out = warnJobSpec(at, &c.Spec.JobTemplate.Spec)
	}
	if strings.Contains(c.Spec.Schedule, "TZ") {
		out = append(out, "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "+
			"https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details")
	}
	return out
}
