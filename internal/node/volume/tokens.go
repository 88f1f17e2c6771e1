package volume

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Token is a service account token with its life.
type Token struct {
	Value           string
	Issued, Expires time.Time
}

// The rule for renewal: at 80 % of the life, and at least daily.
const (
	renewAt  = 0.8
	renewMax = 24 * time.Hour
)

func (t Token) renew() time.Time {
	life := t.Expires.Sub(t.Issued)
	return t.Issued.Add(min(time.Duration(float64(life)*renewAt), renewMax))
}

// tokens keeps the tokens in use, so that mounting again does not ask for new ones. Safe for concurrent use.
type tokens struct {
	src Source
	now func() time.Time
	mu  sync.Mutex
	of  map[types.UID]map[string]Token
}

func (t *tokens) get(ctx context.Context, p *v1.Pod, audience string, seconds int64) (string, error) {
	key := fmt.Sprintf("%s %d", audience, seconds)
	t.mu.Lock()
	have, ok := t.of[p.UID][key]
	t.mu.Unlock()
	if ok && t.now().Before(have.renew()) {
		return have.Value, nil
	}
	fresh, err := t.src.Token(ctx, p, audience, seconds)
	if err != nil {
		if ok && t.now().Before(have.Expires) {
			return have.Value, nil
		}
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[p.UID] == nil {
		t.of[p.UID] = map[string]Token{}
	}
	t.of[p.UID][key] = fresh
	return fresh.Value, nil
}

// due returns when the first of a pod's tokens should be renewed; zero when it has none.
func (t *tokens) due(uid types.UID) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first time.Time
	for _, token := range t.of[uid] {
		if at := token.renew(); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

func (t *tokens) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, uid)
}
