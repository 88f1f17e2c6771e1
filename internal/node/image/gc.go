package image

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Upstream's defaults: from which share of the disk on images are removed, down to which, and how old they must be.
const (
	HighPercent = 85
	LowPercent  = 80
	minAge      = 2 * time.Minute
	gcPeriod    = 5 * time.Minute
)

// Known is an image on the node with its history.
type Known struct {
	ID     string
	Size   int64 // bytes
	Pinned bool
	// Detected is when it was first seen, Used when a container last had it.
	Detected, Used time.Time
	InUse          bool
}

// Disk is the file system of images, in bytes.
type Disk struct {
	Capacity, Available int64
}

// ToRemove decides which images to remove, the longest unused first. It removes nothing below HighPercent. free is how many
// bytes are wanted.
func ToRemove(images []Known, disk Disk, now time.Time) (ids []string, free int64) {
	if disk.Capacity <= 0 {
		return nil, 0
	}
	used := 100 - 100*disk.Available/disk.Capacity
	if used < HighPercent {
		return nil, 0
	}
	free = disk.Capacity*(100-LowPercent)/100 - disk.Available
	candidates := slices.DeleteFunc(slices.Clone(images), func(k Known) bool {
		return k.InUse || k.Pinned || now.Sub(k.Detected) < minAge
	})
	slices.SortFunc(candidates, func(a, b Known) int {
		return cmp.Or(a.Used.Compare(b.Used), a.Detected.Compare(b.Detected), cmp.Compare(a.ID, b.ID))
	})
	gained := int64(0)
	for _, k := range candidates {
		if gained >= free {
			break
		}
		ids = append(ids, k.ID)
		gained += k.Size
	}
	return ids, free
}

// Collector removes unused images when the disk fills. Its Run is the only user.
type Collector struct {
	Images  runtimeapi.ImageServiceClient
	Runtime runtimeapi.RuntimeServiceClient
	// Disk measures the file system of images.
	Disk   func() Disk
	Now    func() time.Time
	Logger *slog.Logger
	// Failed is told when not enough could be freed.
	Failed func(message string)
}

// Run looks at the images now and then until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	known := map[string]Known{}
	ticker := time.NewTicker(gcPeriod)
	defer ticker.Stop()
	for {
		if err := c.collect(ctx, known); err != nil && ctx.Err() == nil {
			c.Logger.Warn("looking for unused images", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (c *Collector) collect(ctx context.Context, known map[string]Known) error {
	now := c.Now()
	if err := c.look(ctx, known, now); err != nil {
		return err
	}
	images := make([]Known, 0, len(known))
	for _, k := range known {
		images = append(images, k)
	}
	ids, want := ToRemove(images, c.Disk(), now)
	freed := int64(0)
	for _, id := range ids {
		_, err := c.Images.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: id}})
		if err != nil {
			c.Logger.Warn("removing an image", "image", id, "err", err)
			continue
		}
		c.Logger.Info("removed an unused image, the disk is filling", "image", id, "bytes", known[id].Size)
		freed += known[id].Size
		delete(known, id)
	}
	if freed < want {
		c.Failed(fmt.Sprintf("Failed to garbage collect required amount of images. Attempted to free %d bytes, "+
			"but only found %d bytes eligible to free.", want, freed))
	}
	return nil
}

// look brings the history up to date.
func (c *Collector) look(ctx context.Context, known map[string]Known, now time.Time) error {
	list, err := c.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return fmt.Errorf("listing images: %w", err)
	}
	containers, err := c.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return fmt.Errorf("listing containers: %w", err)
	}
	inUse := map[string]bool{}
	for _, k := range containers.Containers {
		inUse[k.ImageRef], inUse[k.ImageId], inUse[k.Image.GetImage()] = true, true, true
	}
	present := map[string]bool{}
	for _, i := range list.Images {
		present[i.Id] = true
		k, seen := known[i.Id]
		if !seen {
			k = Known{ID: i.Id, Detected: now}
		}
		k.Size, k.Pinned, k.InUse = int64(i.Size), i.Pinned, inUse[i.Id]
		for _, name := range slices.Concat(i.RepoTags, i.RepoDigests) {
			k.InUse = k.InUse || inUse[name]
		}
		if k.InUse {
			k.Used = now
		}
		known[i.Id] = k
	}
	for id := range known {
		if !present[id] {
			delete(known, id)
		}
	}
	return nil
}
