package reconcile_test

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestLedger(t *testing.T) {
	const none, reach, sync, gone = "none", "revision", "sync", "gone"
	stored := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s", ResourceVersion: "99"}}
	secret := reconcile.Deleting(secrets, &metav1.ObjectMeta{Namespace: "default", Name: "old", UID: "u-1"}).Write
	other := reconcile.Deleting(secrets, &metav1.ObjectMeta{Namespace: "default", Name: "old", UID: "u-2"}).Write
	create := client.Write{Verb: client.Create, Resource: secrets, Namespace: "default"}
	for name, tc := range map[string]struct {
		w      client.Write
		stored runtime.Object
		err    error
		want   string
	}{
		"create ahead of the view":              {create, stored, nil, reach},
		"create of a kind that is no input":     {client.Write{Verb: client.Create, Resource: configMaps}, stored, nil, none},
		"dry run":                               {client.Write{Verb: client.Create, Resource: secrets, DryRun: true}, stored, nil, none},
		"refused":                               {create, nil, apierrors.NewForbidden(secrets, "s", errors.New("quota")), none},
		"conflict: the view is old":             {create, nil, apierrors.NewConflict(secrets, "s", errors.New("old")), sync},
		"exists: the view is old":               {create, nil, apierrors.NewAlreadyExists(secrets, "s"), sync},
		"timeout":                               {create, nil, context.DeadlineExceeded, sync},
		"server timeout":                        {create, nil, apierrors.NewServerTimeout(secrets, "create", 1), sync},
		"internal error":                        {create, nil, apierrors.NewInternalError(errors.New("etcd")), sync},
		"answer without a version":              {create, &metav1.Status{}, nil, sync},
		"delete of what the view shows":         {secret, stored, nil, gone},
		"delete of what the view shows no more": {other, stored, nil, none},
		"delete of a collection":                {client.Write{Verb: client.DeleteCollection, Resource: secrets}, nil, nil, sync},
	} {
		t.Run(name, func(t *testing.T) {
			fake := clientfake.New(reconciletest.Catalogue(),
				&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "old", UID: "u-1"}})
			cache, err := fake.Cache(client.Selection{Resource: secrets})
			if err != nil {
				t.Fatal(err)
			}
			var l reconcile.Ledger
			l.Record(tc.w, tc.stored, tc.err)
			debts := l.Debts(func(gr schema.GroupResource) (client.Snapshot, bool) { return cache.Snapshot(), gr == secrets })
			got := none
			if len(debts) > 1 {
				t.Fatalf("debts %v", debts)
			}
			for _, d := range debts {
				switch {
				case d.Revision == 99:
					got = reach
				case d.Sync:
					got = sync
				default:
					got = gone
				}
			}
			if got != tc.want {
				t.Errorf("owes %s, want %s", got, tc.want)
			}
			if got == sync {
				l.Synced(secrets)
			}
			if (got == none || got == sync) != l.Empty() {
				t.Errorf("empty: %v", l.Empty())
			}
		})
	}
}
