package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// turnKey is the key by which servers take turns in compacting. Its name is upstream's.
const turnKey = "compact_rev_key"

// etcdClient implements backend on an etcd client, in process or over the network.
type etcdClient struct {
	client *clientv3.Client
	dead   <-chan struct{}
	// own is the embedded etcd, which has no other administrator; nil for an outside one.
	own *ownEtcd
}

// dial connects to an outside etcd. It returns before there is a connection.
func dial(o Options) (backend, error) {
	config := clientv3.Config{
		Endpoints:            o.Endpoints,
		DialTimeout:          20 * time.Second,
		DialKeepAliveTime:    30 * time.Second,
		DialKeepAliveTimeout: 10 * time.Second,
		PermitWithoutStream:  true,
		MaxCallSendMsgSize:   2 * maxRequestBytes,
		MaxCallRecvMsgSize:   math.MaxInt32,
		Logger:               zapLogger(o.Logger),
	}
	if o.TLS != (TLSFiles{}) {
		info := transport.TLSInfo{TrustedCAFile: o.TLS.CA, CertFile: o.TLS.Cert, KeyFile: o.TLS.Key}
		tls, err := info.ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("reading the TLS files for etcd: %w", err)
		}
		config.TLS = tls
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to etcd at %v: %w", o.Endpoints, err)
	}
	return &etcdClient{client: client, dead: make(chan struct{})}, nil
}

func (e *etcdClient) failed() <-chan struct{} { return e.dead }

func (e *etcdClient) close() error {
	err := e.client.Close()
	if errors.Is(err, context.Canceled) { // how a client that holds no connection says that it is closed
		err = nil
	}
	if e.own != nil {
		err = errors.Join(err, e.own.close())
	}
	return err
}

func (e *etcdClient) list(ctx context.Context, from, end string, revision, limit int64) (page, error) {
	if end == "" {
		end = "\x00" // to the last key there is
	}
	r, err := e.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithRev(revision), clientv3.WithLimit(limit))
	if err != nil {
		return page{}, translate(err)
	}
	p := page{items: make([]keyValue, len(r.Kvs)), revision: r.Header.GetRevision(), more: r.More}
	for i, kv := range r.Kvs {
		p.items[i] = keyValueOf(kv)
	}
	return p, nil
}

func keyValueOf(kv *mvccpb.KeyValue) keyValue {
	return keyValue{key: string(kv.Key), value: kv.Value, revision: kv.ModRevision}
}

func (e *etcdClient) revision(ctx context.Context) (int64, error) {
	r, err := e.client.Get(ctx, turnKey, clientv3.WithCountOnly())
	if err != nil {
		return 0, translate(err)
	}
	return r.Header.GetRevision(), nil
}

func (e *etcdClient) txn(ctx context.Context, steps []step) (outcome, error) {
	var conditions []clientv3.Cmp
	var writes, looks []clientv3.Op
	for i := range steps {
		st := &steps[i]
		if c, conditional := condition(&st.Op); conditional {
			conditions = append(conditions, c)
		}
		switch st.Kind {
		case OpCreate, OpUpdate, OpPut:
			writes = append(writes, clientv3.OpPut(st.Key, string(st.Value), clientv3.WithLease(clientv3.LeaseID(st.lease))))
		case OpDelete:
			writes = append(writes, clientv3.OpDelete(st.Key))
		case OpCheck:
		}
		looks = append(looks, clientv3.OpGet(st.Key, clientv3.WithKeysOnly()))
	}
	r, err := e.client.Txn(ctx).If(conditions...).Then(writes...).Else(looks...).Commit()
	if err != nil {
		return outcome{}, translateWrite(err)
	}
	o := outcome{revision: r.Header.GetRevision(), done: r.Succeeded}
	if r.Succeeded {
		return o, nil
	}
	o.found = make([]int64, len(steps))
	for i := range steps {
		if kvs := r.Responses[i].GetResponseRange().GetKvs(); len(kvs) > 0 {
			o.found[i] = kvs[0].ModRevision
		}
	}
	return o, nil
}

// condition is what a step demands of its key, as etcd compares it.
func condition(op *Op) (clientv3.Cmp, bool) {
	revision := clientv3.ModRevision(op.Key)
	switch op.Kind {
	case OpCreate:
		return clientv3.Compare(revision, "=", 0), true
	case OpUpdate:
		if op.Expect == 0 {
			return clientv3.Compare(revision, ">", 0), true
		}
		return clientv3.Compare(revision, "=", op.Expect), true
	case OpDelete:
		return clientv3.Compare(revision, "=", op.Expect), op.Expect != 0
	case OpCheck:
		return clientv3.Compare(revision, "=", op.Expect), true
	case OpPut:
	}
	return clientv3.Cmp{}, false
}

func (e *etcdClient) grant(ctx context.Context, ttl int64) (int64, error) {
	r, err := e.client.Grant(ctx, ttl)
	if err != nil {
		return 0, translate(err)
	}
	return int64(r.ID), nil
}

func (e *etcdClient) takeTurn(ctx context.Context, version, revision int64) (turn, error) {
	r, err := e.client.Txn(ctx).
		If(clientv3.Compare(clientv3.Version(turnKey), "=", version)).
		Then(clientv3.OpPut(turnKey, strconv.FormatInt(revision, 10))).
		Else(clientv3.OpGet(turnKey)).
		Commit()
	if err != nil {
		return turn{}, translate(err)
	}
	t := turn{won: r.Succeeded, version: version + 1, compacted: revision, revision: r.Header.GetRevision()}
	if t.won {
		return t, nil
	}
	t.version, t.compacted = 0, 0
	if kvs := r.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		t.version = kvs[0].Version
		t.compacted = parseTurn(kvs[0].Value)
	}
	return t, nil
}

// parseTurn reads the turn key's value; what is no number says nothing.
func parseTurn(value []byte) int64 {
	revision, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0
	}
	return revision
}

func (e *etcdClient) compact(ctx context.Context, revision int64) error {
	// Physical: return when the pages are free.
	_, err := e.client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	switch {
	case errors.Is(err, rpctypes.ErrCompacted): // someone else was quicker
		return nil
	case err != nil:
		return translate(err)
	case e.own != nil:
		return e.own.reclaim(ctx, e.client)
	}
	return nil
}

// etcdWatch implements watch.
type etcdWatch struct {
	client *clientv3.Client
	ctx    context.Context //nolint:containedctx // etcd finds a watch's stream by its context when asked for progress
	stop   context.CancelFunc
	events clientv3.WatchChan
}

func (e *etcdClient) watch(ctx context.Context, prefix string, after int64) watch {
	ctx, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
	events := e.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(after+1), clientv3.WithProgressNotify())
	return &etcdWatch{client: e.client, ctx: ctx, stop: stop, events: events}
}

func (w *etcdWatch) close() { w.stop() }

func (w *etcdWatch) progress(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.client.RequestProgress(w.ctx)
}

func (w *etcdWatch) next(ctx context.Context) (batch, error) {
	var r clientv3.WatchResponse
	var open bool
	select {
	case r, open = <-w.events:
	case <-ctx.Done():
		return batch{}, ctx.Err()
	}
	switch {
	case !open:
		return batch{}, errors.New("watch ended")
	case r.CompactRevision != 0:
		return batch{}, fmt.Errorf("etcd is compacted at %d: %w", r.CompactRevision, ErrCompacted)
	case r.Err() != nil:
		return batch{}, translate(r.Err())
	}
	b := batch{changes: make([]change, len(r.Events))}
	for i, ev := range r.Events {
		b.changes[i] = change{keyValue: keyValueOf(ev.Kv), deleted: ev.Type == clientv3.EventTypeDelete}
	}
	switch {
	case r.IsProgressNotify():
		b.revision = r.Header.GetRevision()
	case len(r.Events) > 0:
		// The header may be of a later revision whose events come with the next response.
		b.revision = b.changes[len(b.changes)-1].revision
	}
	return b, nil
}

// translate makes etcd's errors the store's where the store has a name for them.
func translate(err error) error {
	name := func(ours error) error { return fmt.Errorf("%w: %w", ours, err) }
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		return name(ErrCompacted)
	case errors.Is(err, rpctypes.ErrFutureRev):
		return name(ErrFuture)
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return name(ErrTooLarge)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return name(ErrNoSpace)
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return name(errLeaseGone)
	}
	return err
}

// translateWrite also marks the errors after which a write may have happened all the same. Those by which etcd refuses a
// request are certain; a timeout, a lost connection or a stopping server is not.
func translateWrite(err error) error {
	if refused(err) {
		return translate(err)
	}
	return fmt.Errorf("%w: %w", ErrAmbiguous, err)
}

func refused(err error) bool {
	code := codes.Unknown
	var etcd rpctypes.EtcdError
	switch {
	case errors.As(err, &etcd):
		code = etcd.Code()
	default:
		if s, ok := status.FromError(err); ok {
			code = s.Code()
		}
	}
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.OutOfRange, codes.ResourceExhausted,
		codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return true
	default:
		return false
	}
}
