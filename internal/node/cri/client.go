package cri

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// maxMessage is the largest answer accepted from the runtime, in bytes.
const maxMessage = 16 << 20

// Client is a connection to a runtime. Safe for concurrent use; it reconnects by itself.
type Client struct {
	runtimeapi.RuntimeServiceClient
	Images runtimeapi.ImageServiceClient

	mu sync.Mutex
	// exited and addresses keep what can't change any more, by ID.
	exited    map[string]pod.Container
	addresses map[string][]string
}

// New returns a client on a connection.
func New(conn grpc.ClientConnInterface) *Client {
	return &Client{
		RuntimeServiceClient: runtimeapi.NewRuntimeServiceClient(conn),
		Images:               runtimeapi.NewImageServiceClient(conn),
		exited:               map[string]pod.Container{},
		addresses:            map[string][]string{},
	}
}

// Dial prepares a connection to a unix socket, given as a path or as unix://PATH. It succeeds even when nothing listens there
// yet: calls then wait or fail.
func Dial(socket string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix://"+strings.TrimPrefix(socket, "unix://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second,
			},
			MinConnectTimeout: 3 * time.Second,
		}))
	if err != nil {
		return nil, fmt.Errorf("connecting to the runtime at %s: %w", socket, err)
	}
	return conn, nil
}

// Info is what the runtime says of itself.
type Info struct {
	Name, Version string
}

// Describe asks for the runtime's name and version. It waits until the runtime listens, or ctx ends.
func (c *Client) Describe(ctx context.Context) (Info, error) {
	v, err := c.Version(ctx, &runtimeapi.VersionRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return Info{}, fmt.Errorf("asking the runtime for its version: %w", err)
	}
	return Info{Name: v.RuntimeName, Version: v.RuntimeVersion}, nil
}

// Events calls changed with the UID of each pod whose containers changed, until ctx ends or the stream breaks. opened is
// called once the runtime accepted the stream.
func (c *Client) Events(ctx context.Context, opened func(), changed func(uid string)) error {
	stream, err := c.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("asking the runtime for events: %w", err)
	}
	opened()
	for {
		e, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("receiving the runtime's events: %w", err)
		}
		if e.PodSandboxStatus != nil && e.PodSandboxStatus.Metadata != nil {
			changed(e.PodSandboxStatus.Metadata.Uid)
		} else {
			changed("")
		}
	}
}

// Unsupported says that the runtime does not know the call.
func Unsupported(err error) bool { return code(err) == codes.Unimplemented }

// Canceled says that the call ended because its caller gave up.
func Canceled(err error) bool { return errors.Is(err, context.Canceled) || code(err) == codes.Canceled }

// NotFound says that the runtime has no such thing.
func NotFound(err error) bool { return code(err) == codes.NotFound }

func code(err error) codes.Code {
	for err != nil {
		if s, ok := status.FromError(err); ok {
			return s.Code()
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	return codes.Unknown
}

// Sentence returns what the runtime said, without gRPC's frame.
func Sentence(err error) string {
	if s, ok := status.FromError(err); ok {
		return s.Message()
	}
	return err.Error()
}
