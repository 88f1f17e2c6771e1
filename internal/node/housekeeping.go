package node

import (
	"context"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/image"
	"coracle.dev/coracle/internal/node/logs"
	"coracle.dev/coracle/internal/node/nodestatus"
	"coracle.dev/coracle/internal/node/pod"
)

// rotatePeriod is how often the sizes of logs are looked at.
const rotatePeriod = 10 * time.Second

// collector removes unused images when their disk fills.
func (a *Agent) collector() *image.Collector {
	return &image.Collector{
		Images: a.runtime.Images, Runtime: a.runtime, Now: a.cfg.Now, Logger: a.cfg.Logger,
		Disk: func() image.Disk {
			p := nodestatus.ReadPressure(a.cfg.RootDir)
			return image.Disk{Capacity: p.DiskSize, Available: p.DiskAvailable}
		},
		Failed: func(message string) {
			a.recorder.About(a.nodeRef(), v1.EventTypeWarning, "FreeDiskSpaceFailed", message)
		},
	}
}

// nodeRef names the node in events as upstream does.
func (a *Agent) nodeRef() v1.ObjectReference {
	return v1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: a.cfg.NodeName, UID: types.UID(a.cfg.NodeName)}
}

func rotation() logs.Rotation { return logs.Rotation{MaxSize: 10 << 20, MaxFiles: 5} }

// runLogRotation keeps the logs of running containers small.
func (a *Agent) runLogRotation(ctx context.Context) error {
	for sleep(ctx, rotatePeriod) {
		for _, w := range a.all() {
			s := w.shared()
			for _, c := range s.view.Containers {
				if c.State != pod.Running {
					continue
				}
				path := filepath.Join(cri.LogDirectory(a.cfg.PodLogsDir, s.pod), cri.LogPath(c.Name, uint32(c.Restarts)))
				err := rotation().Rotate(path, a.cfg.Now(), func() error {
					_, err := a.runtime.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: c.ID})
					return err
				})
				if err != nil && ctx.Err() == nil {
					w.log.Warn("rotating a log", "container", c.Name, "err", err)
				}
			}
		}
	}
	return nil
}
