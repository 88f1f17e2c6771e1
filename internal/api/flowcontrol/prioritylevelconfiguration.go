package flowcontrol

import (
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func priorityLevelConfiguration() *api.Resource {
	return meta.Entry[*flowcontrolv1.PriorityLevelConfiguration]{
		Group:   flowcontrolv1.GroupName,
		Version: "v1", Kind: "PriorityLevelConfiguration", Plural: "prioritylevelconfigurations",
		New:     meta.New[flowcontrolv1.PriorityLevelConfiguration],
		NewList: meta.Empty[flowcontrolv1.PriorityLevelConfigurationList],
		Path:    "prioritylevelconfigurations",
		Subresources: []api.Subresource{
			meta.Status(flowcontrolv1.SchemeGroupVersion.WithKind("PriorityLevelConfiguration"),
				meta.Empty[flowcontrolv1.PriorityLevelConfiguration], "metadata", "spec"),
		},
		Default: defaultPriorityLevel,
		PrepareCreate: func(p *flowcontrolv1.PriorityLevelConfiguration) {
			p.Status = flowcontrolv1.PriorityLevelConfigurationStatus{}
			p.Generation = 1
		},
		PrepareUpdate: func(p, old *flowcontrolv1.PriorityLevelConfiguration) {
			p.Status = old.Status
			if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
				p.Generation++
			}
		},
		PrepareStatus: func(p, old *flowcontrolv1.PriorityLevelConfiguration) {
			p.Spec = old.Spec
			keepMetadata(&p.ObjectMeta, &old.ObjectMeta)
		},
		UnconditionalUpdate: true,
		Columns:             priorityLevelColumns(),
		Row:                 priorityLevelRow,
		Validate:            validateLevel,
		ValidateUpdate:      validateLevelUpdate,
		ValidateStatus:      validateLevelStatus,
	}.Resource()
}

func defaultPriorityLevel(p *flowcontrolv1.PriorityLevelConfiguration) {
	if e := p.Spec.Exempt; e != nil {
		if e.NominalConcurrencyShares == nil {
			e.NominalConcurrencyShares = new(int32)
		}
		if e.LendablePercent == nil {
			e.LendablePercent = new(int32)
		}
	}
	l := p.Spec.Limited
	if l == nil {
		return
	}
	if l.NominalConcurrencyShares == nil {
		l.NominalConcurrencyShares = new(int32(30))
	}
	if l.LendablePercent == nil {
		l.LendablePercent = new(int32)
	}
	if q := l.LimitResponse.Queuing; q != nil {
		if q.HandSize == 0 {
			q.HandSize = 8
		}
		if q.Queues == 0 {
			q.Queues = 64
		}
		if q.QueueLengthLimit == 0 {
			q.QueueLengthLimit = 50
		}
	}
}

func priorityLevelColumns() []metav1.TableColumnDefinition {
	queuing := flowcontrolv1.QueuingConfiguration{}.SwaggerDoc()
	limited := flowcontrolv1.LimitedPriorityLevelConfiguration{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Type", flowcontrolv1.PriorityLevelConfigurationSpec{}.SwaggerDoc()["type"]),
		meta.Column("NominalConcurrencyShares", limited["nominalConcurrencyShares"]),
		meta.Column("Queues", queuing["queues"]),
		meta.Column("HandSize", queuing["handSize"]),
		meta.Column("QueueLengthLimit", queuing["queueLengthLimit"]),
		meta.AgeColumn(),
	}
}

func priorityLevelRow(p *flowcontrolv1.PriorityLevelConfiguration, now time.Time) []any {
	var shares, queues, hand, limit any = meta.None, meta.None, meta.None, meta.None
	if l := p.Spec.Limited; l != nil {
		shares = int64(meta.Deref(l.NominalConcurrencyShares))
		if q := l.LimitResponse.Queuing; q != nil {
			queues, hand, limit = int64(q.Queues), int64(q.HandSize), int64(q.QueueLengthLimit)
		}
	}
	return []any{p.Name, string(p.Spec.Type), shares, queues, hand, limit, meta.Age(p, now)}
}
