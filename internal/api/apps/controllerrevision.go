package apps

import (
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func controllerRevision() *api.Resource {
	return meta.Entry[*appsv1.ControllerRevision]{
		Group:   appsv1.GroupName,
		Version: "v1", Kind: "ControllerRevision", Plural: "controllerrevisions",
		Namespaced:          true,
		New:                 meta.New[appsv1.ControllerRevision],
		NewList:             meta.Empty[appsv1.ControllerRevisionList],
		Path:                "controllerrevisions",
		UnconditionalUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Controller", "The object whose template the revision holds."),
			meta.Column("Revision", appsv1.ControllerRevision{}.SwaggerDoc()["revision"]),
			meta.AgeColumn(),
		},
		Row: func(r *appsv1.ControllerRevision, now time.Time) []any {
			return []any{r.Name, controllerName(r), r.Revision, meta.Age(r, now)}
		},
		Validate:       validateControllerRevision,
		ValidateUpdate: validateControllerRevisionUpdate,
	}.Resource()
}

// controllerName writes the controlling owner as kind.group/name.
func controllerName(r *appsv1.ControllerRevision) string {
	owner := metav1.GetControllerOfNoCopy(r)
	if owner == nil {
		return meta.None
	}
	gk := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind()
	if gk.Empty() {
		return owner.Name
	}
	return strings.ToLower(gk.String()) + "/" + owner.Name
}
