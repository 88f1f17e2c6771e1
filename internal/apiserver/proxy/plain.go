package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/wire"
)

// maxErrorBody bounds what is read of a kubelet's refusal, in bytes.
const maxErrorBody = 10000

// podLog streams a container's log.
func (p *Proxy) podLog(w http.ResponseWriter, r *http.Request, call *chain.Call) error {
	obj, err := p.options(r, call)
	if err != nil {
		return err
	}
	opts, ok := obj.(*corev1.PodLogOptions)
	if !ok {
		return apierrors.NewInternalError(fmt.Errorf("log options are a %T", obj))
	}
	if err := validateLog(opts, call.Name); err != nil {
		return err
	}
	pod, err := get[*corev1.Pod](r.Context(), p, kinds.Pods(), call.Namespace, call.Name)
	if err != nil {
		return err
	}
	container, err := containerOf(pod, opts.Container)
	if err != nil {
		return err
	}
	if pod.Spec.NodeName == "" {
		w.WriteHeader(http.StatusOK) // nothing has run yet, so there is no log
		return nil
	}
	location, _, err := p.nodeURL(r.Context(), pod.Spec.NodeName)
	if err != nil {
		return err
	}
	location.Path = "/containerLogs/" + pod.Namespace + "/" + pod.Name + "/" + container
	location.RawQuery = logQuery(opts).Encode()
	from := p.nodes
	if opts.InsecureSkipTLSVerifyBackend {
		from = p.careless
	}
	return p.copyLog(w, r, location, from)
}

func (p *Proxy) copyLog(w http.ResponseWriter, r *http.Request, location *url.URL, from *http.Transport) error {
	out, err := http.NewRequestWithContext(r.Context(), http.MethodGet, location.String(), nil)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	resp, err := from.RoundTrip(out)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("Get %q: %w", location, err)) //nolint:staticcheck // upstream's words
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refusedLog(resp)
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	flushing(w, resp.Body)
	return nil
}

// flushing copies and passes on at once whatever came.
func flushing(w http.ResponseWriter, from io.Reader) {
	flusher, _ := w.(http.Flusher)
	buf := make([]byte, 32*1024)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, writeErr := w.Write(buf[:n]); writeErr != nil {
				return
			}
			if flusher != nil {
				flusher.Flush()
			}
		}
		if err != nil {
			return
		}
	}
}

// refusedLog makes the error of a kubelet's refusal.
func refusedLog(resp *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came is what is shown
	text := string(data)
	switch {
	case resp.StatusCode >= http.StatusInternalServerError:
		return apierrors.NewInternalError(errors.New(text))
	case resp.StatusCode == http.StatusBadRequest:
		return apierrors.NewBadRequest(text)
	default:
		return apierrors.NewGenericServerResponse(
			resp.StatusCode, "", schema.GroupResource{Resource: "pods/log"}, "", text, 0, false)
	}
}

func validateLog(o *corev1.PodLogOptions, name string) error {
	var errs field.ErrorList
	if o.TailLines != nil && *o.TailLines < 0 {
		errs = append(errs, field.Invalid(field.NewPath("tailLines"), *o.TailLines, "must be greater than or equal to 0"))
	}
	if o.LimitBytes != nil && *o.LimitBytes < 1 {
		errs = append(errs, field.Invalid(field.NewPath("limitBytes"), *o.LimitBytes, "must be greater than 0"))
	}
	switch {
	case o.SinceSeconds != nil && o.SinceTime != nil:
		errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	case o.SinceSeconds != nil && *o.SinceSeconds < 1:
		errs = append(errs, field.Invalid(field.NewPath("sinceSeconds"), *o.SinceSeconds, "must be greater than 0"))
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Kind: "PodLogOptions"}, name, errs)
}

// forward passes a request on to another place, upgrades and streams included.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, to *url.URL, by *http.Transport, prefix string) {
	proxy := &httputil.ReverseProxy{
		Transport: by, FlushInterval: -1,
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL, pr.Out.Host = to, to.Host
			pr.SetXForwarded()
			if prefix != "" {
				pr.Out.Header.Set("X-Forwarded-Uri", r.URL.Path)
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if location := resp.Header.Get("Location"); location != "" && prefix != "" {
				resp.Header.Set("Location", relocate(location, to, prefix))
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			wire.WriteError(w, r, apierrors.NewServiceUnavailable("error trying to reach service: "+err.Error()))
		},
	}
	proxy.ServeHTTP(w, r)
}

// relocate keeps a redirect within the proxied path.
func relocate(location string, to *url.URL, prefix string) string {
	u, err := url.Parse(location)
	if err != nil || (u.Host != "" && u.Host != to.Host) || !strings.HasPrefix(u.Path, "/") {
		return location
	}
	u.Scheme, u.Host, u.Path = "", "", prefix+u.Path
	return u.String()
}

// proxied is the location of a proxied request: the same query, the rest of the path.
func proxied(r *http.Request, scheme, host, rest string) *url.URL {
	return &url.URL{Scheme: scheme, Host: host, Path: "/" + rest, RawQuery: r.URL.RawQuery}
}

// prefixOf is the path up to the proxied rest.
func prefixOf(r *http.Request, rest string) string {
	return strings.TrimSuffix(strings.TrimSuffix(r.URL.Path, rest), "/")
}

func (p *Proxy) nodeProxy(w http.ResponseWriter, r *http.Request, call *chain.Call, rest string) error {
	if _, err := p.options(r, call); err != nil {
		return err
	}
	scheme, name, port, err := splitName(call.Name)
	if err != nil {
		return err
	}
	location, node, err := p.nodeURL(r.Context(), name)
	if err != nil {
		return err
	}
	if port == "" || port == strconv.Itoa(int(node.Status.DaemonEndpoints.KubeletEndpoint.Port)) || location.Port() == port {
		p.forward(w, r, proxied(r, "https", location.Host, rest), p.nodes, prefixOf(r, rest))
		return nil
	}
	host := net.JoinHostPort(location.Hostname(), port)
	p.forward(w, r, proxied(r, scheme, host, rest), p.careless, prefixOf(r, rest))
	return nil
}

func (p *Proxy) podProxy(w http.ResponseWriter, r *http.Request, call *chain.Call, rest string) error {
	if _, err := p.options(r, call); err != nil {
		return err
	}
	scheme, name, port, err := splitName(call.Name)
	if err != nil {
		return err
	}
	pod, err := get[*corev1.Pod](r.Context(), p, kinds.Pods(), call.Namespace, name)
	if err != nil {
		return err
	}
	if port == "" {
		port = firstPort(pod)
	}
	if !dialable(pod.Status.PodIP) {
		return apierrors.NewBadRequest("address not allowed")
	}
	host := pod.Status.PodIP
	if port != "" {
		host = net.JoinHostPort(host, port)
	}
	p.forward(w, r, proxied(r, scheme, host, rest), p.pods, prefixOf(r, rest))
	return nil
}

func firstPort(pod *corev1.Pod) string {
	for i := range pod.Spec.Containers {
		if ports := pod.Spec.Containers[i].Ports; len(ports) > 0 {
			return strconv.Itoa(int(ports[0].ContainerPort))
		}
	}
	return ""
}

// dialable refuses addresses that would lead back to the server's own machine.
func dialable(address string) bool {
	ip := net.ParseIP(address)
	return ip != nil && ip.IsGlobalUnicast()
}

func (p *Proxy) serviceProxy(w http.ResponseWriter, r *http.Request, call *chain.Call, rest string) error {
	if _, err := p.options(r, call); err != nil {
		return err
	}
	scheme, name, port, err := splitName(call.Name)
	if err != nil {
		return err
	}
	svc, err := get[*corev1.Service](r.Context(), p, kinds.Services(), call.Namespace, name)
	if err != nil {
		return err
	}
	portName, err := servicePort(svc, port)
	if err != nil {
		return err
	}
	slices, err := p.slicesOf(r, call.Namespace, name)
	if err != nil {
		return err
	}
	hosts := endpointHosts(slices, portName)
	if len(hosts) == 0 {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	host := hosts[p.cfg.Pick(len(hosts))]
	p.forward(w, r, proxied(r, scheme, host, rest), p.pods, prefixOf(r, rest))
	return nil
}

// servicePort finds the name of the service's port that a call names by name or number.
func servicePort(svc *corev1.Service, asked string) (string, error) {
	ports := svc.Spec.Ports
	if asked == "" {
		if len(ports) == 1 {
			return ports[0].Name, nil
		}
		for i := range ports {
			if ports[i].Name == "" {
				return "", nil
			}
		}
	}
	for i := range ports {
		if ports[i].Name == asked || strconv.Itoa(int(ports[i].Port)) == asked {
			return ports[i].Name, nil
		}
	}
	return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %q found for service %q", asked, svc.Name))
}

// slicesOf reads a service's endpoint slices.
func (p *Proxy) slicesOf(r *http.Request, namespace, service string) ([]*discoveryv1.EndpointSlice, error) {
	gr := kinds.EndpointSlices()
	target, err := p.chain.Resolve(gr, "", "")
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	found, err := p.chain.List(r.Context(), &chain.Call{Target: target, Attributes: request.Attributes{
		Verb: "list", IsResource: true, Group: gr.Group, Resource: gr.Resource, Namespace: namespace,
		LabelSelector: discoveryv1.LabelServiceName + "=" + service,
	}}, chain.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	var out []*discoveryv1.EndpointSlice
	for _, item := range found.Items {
		obj, err := item.Object()
		if err != nil {
			return nil, err
		}
		if s, ok := obj.(*discoveryv1.EndpointSlice); ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// endpointHosts lists the addresses and ports of ready endpoints.
func endpointHosts(slices []*discoveryv1.EndpointSlice, portName string) []string {
	var out []string
	for _, s := range slices {
		for _, port := range s.Ports {
			if port.Port == nil || (port.Name != nil && *port.Name != portName) || (port.Name == nil && portName != "") {
				continue
			}
			for i := range s.Endpoints {
				if ready := s.Endpoints[i].Conditions.Ready; ready != nil && !*ready {
					continue
				}
				for _, a := range s.Endpoints[i].Addresses {
					if dialable(a) {
						out = append(out, net.JoinHostPort(a, strconv.Itoa(int(*port.Port))))
					}
				}
			}
		}
	}
	return out
}
