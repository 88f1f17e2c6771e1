package builtin

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
)

// addParameters teaches the scheme to read the query parameters of streaming and proxy subresources. k8s.io/api holds only
// their types.
func addParameters(scheme *runtime.Scheme) error {
	return add(scheme,
		parameters(readPodLogOptions),
		parameters(readPodExecOptions),
		parameters(readPodAttachOptions),
		parameters(readPodPortForwardOptions),
		parameters(func(q query, o *corev1.PodProxyOptions) error { return q.text("path", &o.Path) }),
		parameters(func(q query, o *corev1.NodeProxyOptions) error { return q.text("path", &o.Path) }),
		parameters(func(q query, o *corev1.ServiceProxyOptions) error { return q.text("path", &o.Path) }),
	)
}

func add(scheme *runtime.Scheme, all ...func(*runtime.Scheme) error) error {
	for _, f := range all {
		if err := f(scheme); err != nil {
			return err
		}
	}
	return nil
}

func parameters[T any](read func(query, *T) error) func(*runtime.Scheme) error {
	return func(scheme *runtime.Scheme) error {
		return scheme.AddConversionFunc((*url.Values)(nil), (*T)(nil), func(a, b any, scope conversion.Scope) error {
			return read(query{*a.(*url.Values), scope}, b.(*T))
		})
	}
}

// query reads single parameters; the field is left alone when the parameter is absent.
type query struct {
	values url.Values
	scope  conversion.Scope
}

func (q query) text(name string, out *string) error {
	if v, ok := q.values[name]; ok {
		return runtime.Convert_Slice_string_To_string(&v, out, q.scope)
	}
	return nil
}

func (q query) flag(name string, out *bool) error {
	if v, ok := q.values[name]; ok {
		return runtime.Convert_Slice_string_To_bool(&v, out, q.scope)
	}
	return nil
}

func (q query) number(name string, out **int64) error {
	v, ok := q.values[name]
	if !ok {
		return nil
	}
	if err := runtime.Convert_Slice_string_To_Pointer_int64(&v, out, q.scope); err != nil {
		return fmt.Errorf("parameter %s: %w", name, err)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func readPodLogOptions(q query, o *corev1.PodLogOptions) error {
	if err := first(
		q.text("container", &o.Container),
		q.flag("follow", &o.Follow),
		q.flag("previous", &o.Previous),
		q.number("sinceSeconds", &o.SinceSeconds),
		q.flag("timestamps", &o.Timestamps),
		q.number("tailLines", &o.TailLines),
		q.number("limitBytes", &o.LimitBytes),
		q.flag("insecureSkipTLSVerifyBackend", &o.InsecureSkipTLSVerifyBackend),
	); err != nil {
		return err
	}
	if v := q.values.Get("stream"); v != "" {
		o.Stream = &v
	}
	if v, ok := q.values["sinceTime"]; ok {
		return metav1.Convert_Slice_string_To_Pointer_v1_Time(&v, &o.SinceTime, q.scope)
	}
	return nil
}

func readPodExecOptions(q query, o *corev1.PodExecOptions) error {
	o.Command = q.values["command"]
	return first(
		q.flag("stdin", &o.Stdin),
		q.flag("stdout", &o.Stdout),
		q.flag("stderr", &o.Stderr),
		q.flag("tty", &o.TTY),
		q.text("container", &o.Container),
	)
}

func readPodAttachOptions(q query, o *corev1.PodAttachOptions) error {
	return first(
		q.flag("stdin", &o.Stdin),
		q.flag("stdout", &o.Stdout),
		q.flag("stderr", &o.Stderr),
		q.flag("tty", &o.TTY),
		q.text("container", &o.Container),
	)
}

func readPodPortForwardOptions(q query, o *corev1.PodPortForwardOptions) error {
	for _, v := range q.values["ports"] {
		for part := range strings.SplitSeq(v, ",") {
			port, err := strconv.ParseInt(part, 10, 32)
			if err != nil {
				return fmt.Errorf("parameter ports: %w", err)
			}
			o.Ports = append(o.Ports, int32(port))
		}
	}
	return nil
}
