package core

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// validateProbes judges hooks and probes of a container that keeps running.
func (j *podJudge) validateProbes(at *field.Path, c *corev1.Container) field.ErrorList {
	return slices.Concat(
		j.validateLifecycle(at.Child("lifecycle"), c.Lifecycle),
		j.validateLivenessProbe(at.Child("livenessProbe"), c.LivenessProbe),
		j.validateReadinessProbe(at.Child("readinessProbe"), c.ReadinessProbe),
		j.validateLivenessProbe(at.Child("startupProbe"), c.StartupProbe),
	)
}

// validateLivenessProbe is for probes whose first success counts: of liveness and of startup.
func (j *podJudge) validateLivenessProbe(at *field.Path, p *corev1.Probe) field.ErrorList {
	errs := j.validateProbe(at, p)
	if p != nil && p.SuccessThreshold != 1 {
		errs = append(errs, field.Invalid(at.Child("successThreshold"), p.SuccessThreshold, "must be 1"))
	}
	return errs
}

func (j *podJudge) validateReadinessProbe(at *field.Path, p *corev1.Probe) field.ErrorList {
	errs := j.validateProbe(at, p)
	if p != nil && p.TerminationGracePeriodSeconds != nil {
		errs = append(errs, field.Invalid(at.Child("terminationGracePeriodSeconds"), p.TerminationGracePeriodSeconds,
			"must not be set for readinessProbes"))
	}
	return errs
}

func (j *podJudge) validateProbe(at *field.Path, p *corev1.Probe) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := slices.Concat(
		j.validateHandler(at, handler{exec: p.Exec, http: p.HTTPGet, tcp: p.TCPSocket, grpc: p.GRPC}),
		rule.NonNegative(at.Child("initialDelaySeconds"), p.InitialDelaySeconds),
		rule.NonNegative(at.Child("timeoutSeconds"), p.TimeoutSeconds),
		rule.NonNegative(at.Child("periodSeconds"), p.PeriodSeconds),
		rule.NonNegative(at.Child("successThreshold"), p.SuccessThreshold),
		rule.NonNegative(at.Child("failureThreshold"), p.FailureThreshold),
	)
	if grace := p.TerminationGracePeriodSeconds; grace != nil && *grace <= 0 {
		errs = append(errs, field.Invalid(at.Child("terminationGracePeriodSeconds"), *grace, "must be greater than 0"))
	}
	return errs
}

// handler is what probes and hooks can do; exactly one field is set.
type handler struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
}

func (j *podJudge) validateHandler(at *field.Path, h handler) field.ErrorList {
	return oneOfKinds(at, "may not specify more than 1 handler type", "must specify a handler type",
		kindOf("exec", h.exec, validateExec),
		kindOf("httpGet", h.http, validateHTTPGet),
		kindOf("tcpSocket", h.tcp, func(at *field.Path, a *corev1.TCPSocketAction) field.ErrorList {
			return rule.PortOrName(at.Child("port"), a.Port)
		}),
		kindOf("grpc", h.grpc, func(at *field.Path, a *corev1.GRPCAction) field.ErrorList {
			return append(rule.Port(at.Child("port"), a.Port),
				rule.MaybeOneOf(at.Child("mode"), a.Mode, corev1.GRPCProbeModePlaintext, corev1.GRPCProbeModeTLS)...)
		}),
		kindOf("sleep", h.sleep, j.validateSleep),
	)
}

func validateExec(at *field.Path, a *corev1.ExecAction) field.ErrorList {
	if len(a.Command) == 0 {
		return field.ErrorList{field.Required(at.Child("command"), "")}
	}
	return nil
}

func validateHTTPGet(at *field.Path, a *corev1.HTTPGetAction) field.ErrorList {
	errs := slices.Concat(
		rule.Given(at.Child("path"), a.Path),
		rule.PortOrName(at.Child("port"), a.Port),
		rule.OneOf(at.Child("scheme"), a.Scheme, corev1.URISchemeHTTP, corev1.URISchemeHTTPS),
	)
	for _, h := range a.HTTPHeaders {
		errs = append(errs, rule.Messages(at.Child("httpHeaders"), h.Name, utilvalidation.IsHTTPHeaderName(h.Name))...)
	}
	if a.Protocol == nil {
		return errs
	}
	protocol := at.Child("protocol")
	bad := rule.OneOf(protocol, *a.Protocol, corev1.HTTPProtocolHTTP1, corev1.HTTPProtocolHTTP2)
	if len(bad) == 0 && *a.Protocol == corev1.HTTPProtocolHTTP2 {
		switch {
		case a.Scheme != corev1.URISchemeHTTP:
			bad = append(bad, field.Invalid(protocol, *a.Protocol, "is only supported with HTTP (H2C)"))
		case a.Host != "":
			bad = append(bad, field.Invalid(at.Child("host"), a.Host, "must be empty when `protocol` is \"HTTP2\""))
		}
	}
	return append(errs, bad...)
}

// validateSleep holds a hook's sleep within the pod's grace period. When that is missing, its absence is reported already.
func (j *podJudge) validateSleep(at *field.Path, a *corev1.SleepAction) field.ErrorList {
	grace := j.spec.TerminationGracePeriodSeconds
	if grace == nil || a.Seconds >= 0 && a.Seconds <= *grace {
		return nil
	}
	return field.ErrorList{field.Invalid(at, a.Seconds,
		fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", *grace))}
}

func (j *podJudge) validateLifecycle(at *field.Path, l *corev1.Lifecycle) field.ErrorList {
	if l == nil {
		return nil
	}
	var errs field.ErrorList
	hook := func(at *field.Path, h *corev1.LifecycleHandler) {
		if h != nil {
			does := handler{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep}
			errs = append(errs, j.validateHandler(at, does)...)
		}
	}
	hook(at.Child("postStart"), l.PostStart)
	hook(at.Child("preStop"), l.PreStop)
	if l.StopSignal != nil {
		errs = append(errs, validateStopSignal(at.Child("stopSignal"), *l.StopSignal, j.spec.OS)...)
	}
	return errs
}

func validateStopSignal(at *field.Path, s corev1.Signal, os *corev1.PodOS) field.ErrorList {
	switch {
	case os == nil:
		return field.ErrorList{field.Forbidden(at, "may not be set for containers with empty `spec.os.name`")}
	case os.Name == corev1.Windows:
		return rule.OneOf(at, s, corev1.SIGKILL, corev1.SIGTERM)
	case os.Name == corev1.Linux:
		return rule.OneOf(at, s, linuxSignals()...)
	}
	return nil
}

func linuxSignals() []corev1.Signal {
	list := []corev1.Signal{
		corev1.SIGABRT, corev1.SIGALRM, corev1.SIGBUS, corev1.SIGCHLD, corev1.SIGCLD, corev1.SIGCONT, corev1.SIGFPE,
		corev1.SIGHUP,
		corev1.SIGILL, corev1.SIGINT, corev1.SIGIO, corev1.SIGIOT, corev1.SIGKILL, corev1.SIGPIPE, corev1.SIGPOLL, corev1.SIGPROF,
		corev1.SIGPWR, corev1.SIGQUIT, corev1.SIGSEGV, corev1.SIGSTKFLT, corev1.SIGSTOP, corev1.SIGSYS, corev1.SIGTERM,
		corev1.SIGTRAP, corev1.SIGTSTP, corev1.SIGTTIN, corev1.SIGTTOU, corev1.SIGURG, corev1.SIGUSR1, corev1.SIGUSR2,
		corev1.SIGVTALRM, corev1.SIGWINCH, corev1.SIGXCPU, corev1.SIGXFSZ, corev1.SIGRTMIN, corev1.SIGRTMAX,
	}
	for i := 1; i <= 15; i++ {
		list = append(list, corev1.Signal(fmt.Sprintf("%s+%d", corev1.SIGRTMIN, i)))
	}
	for i := 1; i <= 14; i++ {
		list = append(list, corev1.Signal(fmt.Sprintf("%s-%d", corev1.SIGRTMAX, i)))
	}
	slices.Sort(list)
	return list
}

// kind is one of several alternatives, such as the sources of a volume.
type kind struct {
	name string
	set  bool
	// at is where the alternative's own errors are reported, its name but for old mistakes.
	at    string
	check func(at *field.Path) field.ErrorList
}

// kindOf describes the alternative that is set when p is not nil.
func kindOf[T any](name string, p *T, check func(*field.Path, *T) field.ErrorList) kind {
	return kind{name: name, set: p != nil, at: name, check: func(at *field.Path) field.ErrorList { return check(at, p) }}
}

// oneOfKinds judges the first alternative that is set and refuses any other; none is wrong as well.
func oneOfKinds(at *field.Path, tooMany, none string, kinds ...kind) field.ErrorList {
	var errs field.ErrorList
	found := false
	for _, k := range kinds {
		switch {
		case !k.set:
		case found:
			errs = append(errs, field.Forbidden(at.Child(k.name), tooMany))
		default:
			found = true
			errs = append(errs, k.check(at.Child(k.at))...)
		}
	}
	if !found {
		errs = append(errs, field.Required(at, none))
	}
	return errs
}
