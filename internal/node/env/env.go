package env

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"coracle.dev/coracle/internal/node/downward"
)

// Var is one variable.
type Var struct{ Name, Value string }

// Refs are the objects, by name in the pod's namespace, that a container's environment comes from. The value says whether the
// container can do without the object as a whole.
type Refs struct {
	ConfigMaps, Secrets map[string]bool
}

// References returns what has to be read before Resolve.
func References(c *v1.Container) Refs {
	r := Refs{ConfigMaps: map[string]bool{}, Secrets: map[string]bool{}}
	note := func(m map[string]bool, name string, optional *bool) {
		can := optional != nil && *optional
		if before, seen := m[name]; seen {
			can = can && before
		}
		m[name] = can
	}
	for _, f := range c.EnvFrom {
		if f.ConfigMapRef != nil {
			note(r.ConfigMaps, f.ConfigMapRef.Name, f.ConfigMapRef.Optional)
		}
		if f.SecretRef != nil {
			note(r.Secrets, f.SecretRef.Name, f.SecretRef.Optional)
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			continue
		}
		if k := e.ValueFrom.ConfigMapKeyRef; k != nil {
			note(r.ConfigMaps, k.Name, k.Optional)
		}
		if k := e.ValueFrom.SecretKeyRef; k != nil {
			note(r.Secrets, k.Name, k.Optional)
		}
	}
	return r
}

// Input is what Resolve works from.
type Input struct {
	Facts     downward.Facts
	Container *v1.Container
	// ConfigMaps and Secrets hold what References named, as far as it exists.
	ConfigMaps map[string]*v1.ConfigMap
	Secrets    map[string]*v1.Secret
	// Services are those of the pod's namespace, and the one named kubernetes of the default namespace.
	Services []*v1.Service
	// File reads a key of an environment file in a volume of the pod.
	File func(ref *v1.FileKeySelector) (value string, found bool, err error)
}

// Result is a container's environment.
type Result struct {
	Vars []Var
	// Skipped are the keys of envFrom sources that can't be names, for an event.
	Skipped []string
}

// Resolve works the environment out: envFrom first, then env in order, then the variables of services that neither has set.
func Resolve(in Input) (Result, error) {
	s := set{index: map[string]int{}}
	for i := range in.Container.EnvFrom {
		if err := s.from(in, &in.Container.EnvFrom[i]); err != nil {
			return Result{}, err
		}
	}
	services := serviceVars(in.Facts.Pod, in.Services)
	known := lookupIn(services)
	for i := range in.Container.Env {
		e := &in.Container.Env[i]
		value, set, err := s.value(in, e, known)
		if err != nil {
			return Result{}, err
		}
		if set {
			s.put(e.Name, value)
		}
	}
	for _, v := range services {
		if _, taken := s.index[v.Name]; !taken {
			s.put(v.Name, v.Value)
		}
	}
	return Result{Vars: s.vars, Skipped: s.skipped}, nil
}

// set is an ordered map under construction.
type set struct {
	vars    []Var
	index   map[string]int
	skipped []string
}

func (s *set) put(name, value string) {
	if i, ok := s.index[name]; ok {
		s.vars[i].Value = value
		return
	}
	s.index[name] = len(s.vars)
	s.vars = append(s.vars, Var{name, value})
}

func (s *set) from(in Input, f *v1.EnvFromSource) error {
	ns := in.Facts.Pod.Namespace
	data := map[string]string{}
	switch {
	case f.ConfigMapRef != nil:
		cm := in.ConfigMaps[f.ConfigMapRef.Name]
		if cm == nil {
			return missing("configmap", f.ConfigMapRef.Name, f.ConfigMapRef.Optional)
		}
		for k, v := range cm.Data {
			data[k] = v
		}
	case f.SecretRef != nil:
		secret := in.Secrets[f.SecretRef.Name]
		if secret == nil {
			return missing("secret", f.SecretRef.Name, f.SecretRef.Optional)
		}
		for k, v := range secret.Data {
			data[k] = string(v)
		}
	default:
		return fmt.Errorf("envFrom of container %s in %s names no source", in.Container.Name, ns)
	}
	keys := make([]string, 0, len(data))
	for k := range data {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		name := f.Prefix + k
		if len(validation.IsRelaxedEnvVarName(name)) > 0 {
			s.skipped = append(s.skipped, k)
			continue
		}
		s.put(name, data[k])
	}
	return nil
}

func missing(kind, name string, optional *bool) error {
	if optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("%s %q not found", kind, name)
}

// value returns one variable's value; set is false when an optional source has none.
func (s *set) value(in Input, e *v1.EnvVar, services func(string) (string, bool)) (value string, set bool, err error) {
	from := e.ValueFrom
	if from == nil {
		return Expand(e.Value, func(name string) (string, bool) {
			if i, ok := s.index[name]; ok {
				return s.vars[i].Value, true
			}
			return services(name)
		}), true, nil
	}
	ns := in.Facts.Pod.Namespace
	switch {
	case from.FieldRef != nil:
		value, err = in.Facts.Field(from.FieldRef.FieldPath)
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err = in.Facts.Resource(from.ResourceFieldRef, in.Container.Name)
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		k := from.ConfigMapKeyRef
		cm := in.ConfigMaps[k.Name]
		if cm == nil {
			return "", false, missing("configmap", k.Name, k.Optional)
		}
		if v, ok := cm.Data[k.Key]; ok {
			return v, true, nil
		}
		return "", false, missingKey(k.Key, "ConfigMap", ns, k.Name, k.Optional)
	case from.SecretKeyRef != nil:
		k := from.SecretKeyRef
		secret := in.Secrets[k.Name]
		if secret == nil {
			return "", false, missing("secret", k.Name, k.Optional)
		}
		if v, ok := secret.Data[k.Key]; ok {
			return string(v), true, nil
		}
		return "", false, missingKey(k.Key, "Secret", ns, k.Name, k.Optional)
	case from.FileKeyRef != nil && in.File != nil:
		k := from.FileKeyRef
		v, found, err := in.File(k)
		if err != nil {
			return "", false, err
		}
		if !found && (k.Optional == nil || !*k.Optional) {
			return "", false, fmt.Errorf("environment variable key %q not found in file %q", k.Key, k.Path)
		}
		return v, found, nil
	}
	return "", false, fmt.Errorf("variable %s of container %s has no known source", e.Name, in.Container.Name)
}

func missingKey(key, kind, ns, name string, optional *bool) error {
	if optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("couldn't find key %s in %s %s/%s", key, kind, ns, name)
}

// serviceVars returns the variables by which a container finds services: those of its namespace unless the pod does not want
// them, and always the API server's.
func serviceVars(p *v1.Pod, services []*v1.Service) []Var {
	links := p.Spec.EnableServiceLinks == nil || *p.Spec.EnableServiceLinks
	chosen := map[string]*v1.Service{}
	for _, svc := range services {
		if svc.Spec.ClusterIP == "" || svc.Spec.ClusterIP == v1.ClusterIPNone {
			continue
		}
		master := svc.Namespace == v1.NamespaceDefault && svc.Name == "kubernetes"
		switch {
		case svc.Namespace == p.Namespace && (links || master):
			chosen[svc.Name] = svc
		case master && chosen[svc.Name] == nil:
			chosen[svc.Name] = svc
		}
	}
	names := make([]string, 0, len(chosen))
	for name := range chosen {
		names = append(names, name)
	}
	slices.Sort(names)
	var vars []Var
	for _, name := range names {
		vars = append(vars, varsOf(chosen[name])...)
	}
	return vars
}

func varsOf(svc *v1.Service) []Var {
	if len(svc.Spec.Ports) == 0 {
		return nil
	}
	name := variable(svc.Name)
	host := svc.Spec.ClusterIP
	first := &svc.Spec.Ports[0]
	vars := []Var{
		{name + "_SERVICE_HOST", host},
		{name + "_SERVICE_PORT", fmt.Sprint(first.Port)},
	}
	for i := range svc.Spec.Ports {
		if p := &svc.Spec.Ports[i]; p.Name != "" {
			vars = append(vars, Var{name + "_SERVICE_PORT_" + variable(p.Name), fmt.Sprint(p.Port)})
		}
	}
	bracketed := host
	if strings.Contains(host, ":") {
		bracketed = "[" + host + "]"
	}
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		proto := string(p.Protocol)
		if proto == "" {
			proto = string(v1.ProtocolTCP)
		}
		url := fmt.Sprintf("%s://%s:%d", strings.ToLower(proto), bracketed, p.Port)
		if i == 0 {
			vars = append(vars, Var{name + "_PORT", url})
		}
		prefix := fmt.Sprintf("%s_PORT_%d_%s", name, p.Port, strings.ToUpper(proto))
		vars = append(vars,
			Var{prefix, url}, Var{prefix + "_PROTO", strings.ToLower(proto)},
			Var{prefix + "_PORT", fmt.Sprint(p.Port)}, Var{prefix + "_ADDR", host})
	}
	return vars
}

func variable(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
