package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Failure is why an image is not there.
type Failure struct {
	// Reason is that of a waiting container: ErrImagePull, ErrImageNeverPull, InvalidImageName, ImageInspectError.
	Reason  string
	Message string
}

func (f *Failure) Error() string { return f.Message }

// Image is an image on the node.
type Image struct {
	// Ref is what the runtime calls it.
	Ref string
	// UID is the user that it names by number; nil when it names none or names it by User.
	UID  *int64
	User string
}

// Request asks for an image for one container.
type Request struct {
	Image   string
	Policy  v1.PullPolicy
	Handler string
	// Secrets are the pull secrets that could be read.
	Secrets []*v1.Secret
	Sandbox *runtimeapi.PodSandboxConfig
	// Event tells the pod's owner what happens: kind, reason, message.
	Event func(kind, reason, message string)
}

// Manager pulls images. Safe for concurrent use.
type Manager struct {
	images runtimeapi.ImageServiceClient
	// turn, when not nil, lets one pull run at a time.
	turn chan struct{}
	now  func() time.Time
}

// New returns a manager; serial lets it pull one image at a time.
func New(images runtimeapi.ImageServiceClient, serial bool, now func() time.Time) *Manager {
	m := &Manager{images: images, now: now}
	if serial {
		m.turn = make(chan struct{}, 1)
	}
	return m
}

// Ensure makes the image available. A *Failure says what the pod is to be told; other errors are of the context.
func (m *Manager) Ensure(ctx context.Context, r Request) (Image, error) {
	name, err := withTag(r.Image)
	if err != nil {
		message := fmt.Sprintf("Failed to apply default image tag %q: %v", r.Image, err)
		r.Event(v1.EventTypeWarning, "InspectFailed", message)
		return Image{}, &Failure{Reason: "InvalidImageName", Message: message}
	}
	spec := &runtimeapi.ImageSpec{Image: name, UserSpecifiedImage: r.Image, RuntimeHandler: r.Handler}
	have, err := m.inspect(ctx, spec)
	if err != nil {
		if ctx.Err() != nil {
			return Image{}, ctx.Err()
		}
		message := fmt.Sprintf("Failed to inspect image %q: %v", name, err)
		r.Event(v1.EventTypeWarning, "InspectFailed", message)
		return Image{}, &Failure{Reason: "ImageInspectError", Message: message}
	}
	if have != nil && r.Policy != v1.PullAlways {
		r.Event(v1.EventTypeNormal, "Pulled",
			fmt.Sprintf("Container image %q already present on machine and can be accessed by the pod", r.Image))
		return *have, nil
	}
	if r.Policy == v1.PullNever {
		message := fmt.Sprintf("Container image %q is not present with pull policy of Never", r.Image)
		r.Event(v1.EventTypeWarning, "ErrImageNeverPull", message)
		return Image{}, &Failure{Reason: "ErrImageNeverPull", Message: message}
	}
	return m.pull(ctx, spec, r)
}

func (m *Manager) pull(ctx context.Context, spec *runtimeapi.ImageSpec, r Request) (Image, error) {
	asked := m.now()
	if m.turn != nil {
		select {
		case m.turn <- struct{}{}:
			defer func() { <-m.turn }()
		case <-ctx.Done():
			return Image{}, ctx.Err()
		}
	}
	r.Event(v1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", r.Image))
	begun := m.now()
	ref, err := m.tryCredentials(ctx, spec, r)
	if ctx.Err() != nil {
		return Image{}, ctx.Err()
	}
	if err != nil {
		message := fmt.Sprintf("failed to pull image %q: %v", r.Image, err)
		r.Event(v1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %v", r.Image, err))
		return Image{}, &Failure{Reason: "ErrImagePull", Message: message}
	}
	done := m.now()
	image, size := Image{Ref: ref}, uint64(0)
	if s, err := m.images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec}); err == nil && s.Image != nil {
		image, size = fromStatus(s.Image), s.Image.Size
	}
	r.Event(v1.EventTypeNormal, "Pulled", fmt.Sprintf(
		"Successfully pulled image %q in %v (%v including waiting). Image size: %d bytes.",
		r.Image, done.Sub(begun).Truncate(time.Millisecond), done.Sub(asked).Truncate(time.Millisecond), size))
	return image, nil
}

// tryCredentials pulls with each fitting credential in turn, without any when there is none.
func (m *Manager) tryCredentials(ctx context.Context, spec *runtimeapi.ImageSpec, r Request) (string, error) {
	auths, err := credentials(spec.Image, r.Secrets)
	if err != nil {
		return "", err
	}
	if len(auths) == 0 {
		auths = []*runtimeapi.AuthConfig{nil}
	}
	var failures []error
	for _, auth := range auths {
		answer, err := m.images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec, Auth: auth, SandboxConfig: r.Sandbox})
		if err == nil {
			return answer.ImageRef, nil
		}
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
}

func (m *Manager) inspect(ctx context.Context, spec *runtimeapi.ImageSpec) (*Image, error) {
	s, err := m.images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec})
	if err != nil || s.Image == nil {
		return nil, err
	}
	image := fromStatus(s.Image)
	return &image, nil
}

func fromStatus(s *runtimeapi.Image) Image {
	image := Image{Ref: s.Id, User: s.Username}
	if s.Uid != nil {
		uid := s.Uid.Value
		image.UID = &uid
	}
	return image
}

// mostImages is how many images a node's status names.
const mostImages = 50

// List returns the node's images for its status, the largest first.
func (m *Manager) List(ctx context.Context) ([]v1.ContainerImage, error) {
	list, err := m.images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	slices.SortFunc(list.Images, func(a, b *runtimeapi.Image) int {
		switch {
		case a.Size != b.Size && a.Size > b.Size:
			return -1
		case a.Size != b.Size:
			return 1
		case a.Id < b.Id:
			return -1
		case a.Id > b.Id:
			return 1
		}
		return 0
	})
	var images []v1.ContainerImage
	for _, i := range list.Images {
		names := append(slices.Clone(i.RepoDigests), i.RepoTags...)
		if len(names) == 0 || len(images) == mostImages {
			continue
		}
		images = append(images, v1.ContainerImage{Names: names, SizeBytes: int64(i.Size)})
	}
	return images, nil
}

// withTag adds the tag "latest" to a name without tag and digest.
func withTag(image string) (string, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", fmt.Errorf("couldn't parse image name %q: %w", image, err)
	}
	if reference.IsNameOnly(named) {
		return image + ":latest", nil
	}
	return image, nil
}
