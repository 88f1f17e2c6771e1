package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"golang.org/x/sys/unix"
)

const (
	// maxRequestBytes is the biggest transaction accepted. The API's limit for a request's body is 3 MiB.
	maxRequestBytes = 4 << 20
	// electionBeats is an election's least timeout in heartbeats, and the least that etcd accepts.
	electionBeats = 5
	// Raft's log in memory is there for slow followers; there are none.
	catchUpEntries = 64
	// snapshotEntries bounds what is replayed from the log after a crash.
	snapshotEntries = 10_000
	// batchInterval is how long writes are gathered for one transaction of the database file.
	batchInterval = 500 * time.Millisecond
	// defragMegabytes is how much free space in the database file is worth rewriting it at start.
	defragMegabytes = 256
)

// embedded starts an etcd of one member in this process. It listens nowhere: the client calls it directly.
func embedded(ctx context.Context, o Options) (backend, error) {
	if o.DataDir == "" {
		return nil, errors.New("starting etcd: no data folder")
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("making etcd's data folder: %w", err)
	}
	if err := os.Chmod(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("making etcd's data folder private: %w", err)
	}
	lock, err := lockDir(o.DataDir)
	if err != nil {
		return nil, err
	}
	server, err := startEtcd(ctx, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting etcd in %s: %w", o.DataDir, err), lock.Close())
	}
	return &etcdClient{
		client: v3client.New(server.Server),
		dead:   server.Server.StopNotify(),
		own:    &ownEtcd{server: server, lock: lock, log: o.Logger},
	}, nil
}

func startEtcd(ctx context.Context, o Options) (*embed.Etcd, error) {
	server, err := embed.StartEtcd(embeddedConfig(o))
	if err != nil {
		return nil, err
	}
	select {
	case <-server.Server.ReadyNotify():
		return server, nil
	case <-server.Server.StopNotify():
		err = errors.New("it stopped")
	case <-ctx.Done():
		err = ctx.Err()
	}
	server.Close()
	return nil, err
}

// lockDir makes sure that one process at a time uses the folder: etcd itself would wait for the other one without end.
func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking etcd's data folder: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking etcd's data folder %s: used by another process: %w", dir, err), lock.Close())
	}
	return lock, nil
}

// ownEtcd is an etcd that this process runs and looks after.
type ownEtcd struct {
	server *embed.Etcd
	lock   *os.File
	log    *slog.Logger
}

func (o *ownEtcd) close() error {
	o.server.Close()
	return o.lock.Close()
}

// reclaim ends the state in which etcd, its quota once used up, refuses writes until an administrator has made room: the
// compaction before has freed pages, so the file is rewritten without them and the alarm is taken back.
func (o *ownEtcd) reclaim(ctx context.Context, client *clientv3.Client) error {
	alarms, err := client.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("reading etcd's alarms: %w", err)
	}
	for _, alarm := range alarms.Alarms {
		if alarm.GetAlarm() != etcdserverpb.AlarmType_NOSPACE {
			continue
		}
		backend := o.server.Server.Backend()
		o.log.Warn("etcd's quota was used up, rewriting its database", "size", backend.Size(), "inUse", backend.SizeInUse())
		if err := backend.Defrag(); err != nil {
			return fmt.Errorf("rewriting etcd's database: %w", err)
		}
		if _, err := client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(alarm)); err != nil {
			return fmt.Errorf("taking back etcd's alarm: %w", err)
		}
	}
	return nil
}

func embeddedConfig(o Options) *embed.Config {
	c := embed.NewConfig()
	c.Name = "coracle"
	c.Dir = o.DataDir
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(o.Logger,
		// Nothing is served on any port.
		"Running http and grpc server on single port. This is not recommended for production.",
		// A new member looks for the version of its files once before it has written any, and again seconds later.
		"Failed to detect schema version", "failed to update storage version",
	))

	// The member's address is a label only: nothing listens there and nobody connects.
	label := url.URL{Scheme: "http", Host: "localhost:2380"}
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.AdvertisePeerUrls, c.AdvertiseClientUrls = []url.URL{label}, []url.URL{label}
	c.InitialCluster = c.Name + "=" + label.String()
	c.EnableGRPCGateway = false
	c.AuthToken = "" // no users, so no tokens

	c.TickMs = uint(max(1, o.Heartbeat.Milliseconds()))
	c.ElectionMs = electionBeats * c.TickMs
	c.SnapshotCount, c.SnapshotCatchUpEntries = snapshotEntries, catchUpEntries
	c.QuotaBackendBytes = o.QuotaBytes
	c.BackendFreelistType = "map"
	// The log on disk is what makes a write safe, so the database file may be synced seldom.
	c.BackendBatchInterval = batchInterval
	c.MaxRequestBytes = maxRequestBytes
	c.BootstrapDefragThresholdMegabytes = defragMegabytes
	// Slow requests are for the caller's own metrics to tell.
	c.WarningApplyDuration = time.Second
	c.WarningUnaryRequestDuration = 2 * time.Second
	return c
}
