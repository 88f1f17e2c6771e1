package reconciletest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// Lookup finds the object that an update is compared with.
type Lookup func(gr schema.GroupResource, namespace, name string) (api.Object, bool)

// Print writes a plan as the scenarios show it.
func Print(plan reconcile.Plan, current Lookup) string {
	var b strings.Builder
	for i, group := range plan.Groups {
		fmt.Fprintf(&b, "group %d\n", i+1)
		var texts []string
		for _, w := range group {
			texts = append(texts, printWrite(w, current))
		}
		for len(texts) > 0 {
			n := 1
			for n < len(texts) && texts[n] == texts[0] {
				n++
			}
			head, tail, _ := strings.Cut(texts[0], "\n")
			if n > 1 {
				head += fmt.Sprintf(" (%d times)", n)
			}
			b.WriteString(indent(head+"\n"+tail, "  "))
			texts = texts[n:]
		}
	}
	for _, ev := range plan.Events {
		fmt.Fprintf(&b, "event %s\n", printEvent(&ev))
	}
	for _, c := range plan.Calls {
		id := c.Port
		if c.ID != "" {
			id += "/" + c.ID
		}
		fmt.Fprintf(&b, "call %s\n%s", id, indent(toYAML(c.Request), "  "))
	}
	if plan.After > 0 {
		fmt.Fprintf(&b, "after %s\n", plan.After)
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func printWrite(w reconcile.Write, current Lookup) string {
	var b strings.Builder
	resource := w.Resource.String()
	if w.Subresource != "" {
		resource += "/" + w.Subresource
	}
	fmt.Fprintf(&b, "%s %s %s\n", w.Verb, resource, nameOf(w.Write))
	switch w.Verb {
	case client.Create:
		b.WriteString(indent(toYAML(w.Object), "  "))
	case client.Update:
		b.WriteString(indent(difference(w.Write, current), "  "))
	case client.Patch:
		fmt.Fprintf(&b, "  # %s\n%s", w.PatchType, indent(jsonToYAML(w.PatchData), "  "))
	case client.Delete:
		b.WriteString(indent(toYAML(w.Delete), "  "))
	case client.DeleteCollection:
		b.WriteString(indent(toYAML(w.Selector), "  "))
	}
	if w.Done != nil {
		fmt.Fprintf(&b, "  then event %s\n", printEvent(w.Done))
	}
	if w.Failed != nil {
		fmt.Fprintf(&b, "  else event %s\n", printEvent(w.Failed))
	}
	return b.String()
}

func nameOf(w client.Write) string {
	name := w.Name
	if obj, ok := w.Object.(api.Object); ok && name == "" {
		name = obj.GetGenerateName() + "*"
	}
	if w.Namespace != "" {
		return w.Namespace + "/" + name
	}
	return name
}

func printEvent(ev *reconcile.Event) string {
	name := ev.Regarding.Name
	if ev.Regarding.Namespace != "" {
		name = ev.Regarding.Namespace + "/" + name
	}
	return fmt.Sprintf("%s %s on %s %s: %s", ev.Type, ev.Reason, ev.Regarding.Kind, name, ev.Message)
}

// difference shows what an update changes, as a merge patch.
func difference(w client.Write, current Lookup) string {
	old, ok := current(w.Resource, w.Namespace, w.Name)
	if !ok {
		return "# not in the view\n" + toYAML(w.Object)
	}
	before, err1 := json.Marshal(old)
	after, err2 := json.Marshal(w.Object)
	if err1 != nil || err2 != nil {
		return fmt.Sprintf("# %v %v\n", err1, err2)
	}
	patch, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		return "# " + err.Error() + "\n"
	}
	if string(patch) == "{}" {
		return "# as it is\n"
	}
	return jsonToYAML(patch)
}

// toYAML leaves out what is empty.
func toYAML(v any) string {
	if obj, ok := v.(runtime.Object); ok {
		v = obj.DeepCopyObject()
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "# " + err.Error() + "\n"
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return "# " + err.Error() + "\n"
	}
	tree = prune(tree)
	if tree == nil {
		return ""
	}
	out, err := yaml.Marshal(tree)
	if err != nil {
		return "# " + err.Error() + "\n"
	}
	return string(out)
}

func prune(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if e = prune(e); e == nil {
				delete(x, k)
			} else {
				x[k] = e
			}
		}
		if len(x) == 0 {
			return nil
		}
	case []any:
		for i := range x {
			x[i] = prune(x[i])
		}
		x = slices.Clip(x)
		if len(x) == 0 {
			return nil
		}
	case string:
		if x == "" {
			return nil
		}
	}
	return v
}

func jsonToYAML(data []byte) string {
	out, err := yaml.JSONToYAML(data)
	if err != nil {
		return string(data) + "\n"
	}
	return string(out)
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(by + line)
	}
	if b.Len() > 0 && !strings.HasSuffix(b.String(), "\n") {
		b.WriteByte('\n')
	}
	return b.String()
}
