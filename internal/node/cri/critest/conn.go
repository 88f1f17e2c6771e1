package critest

import (
	"context"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Conn returns a connection to the runtime that calls it directly.
func (r *Runtime) Conn() grpc.ClientConnInterface { return conn{r} }

type conn struct{ r *Runtime }

func (c conn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	for _, desc := range []*grpc.ServiceDesc{&runtimeapi.RuntimeService_ServiceDesc, &runtimeapi.ImageService_ServiceDesc} {
		if desc.ServiceName != service {
			continue
		}
		for i := range desc.Methods {
			if desc.Methods[i].MethodName == name {
				return c.call(ctx, desc.Methods[i], args, reply)
			}
		}
	}
	return status.Errorf(codes.Unimplemented, "unknown method %s", method)
}

func (c conn) call(ctx context.Context, m grpc.MethodDesc, args, reply any) error {
	decode := func(into any) error {
		proto.Merge(into.(proto.Message), args.(proto.Message))
		return nil
	}
	answer, err := m.Handler(c.r, ctx, decode, nil)
	if err != nil {
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
		return err
	}
	proto.Reset(reply.(proto.Message))
	proto.Merge(reply.(proto.Message), answer.(proto.Message))
	return nil
}

func (c conn) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	if !strings.HasSuffix(method, "/GetContainerEvents") {
		return nil, status.Errorf(codes.Unimplemented, "unknown stream %s", method)
	}
	events := make(chan *runtimeapi.ContainerEventResponse, 1024)
	c.r.subscribe(ctx, events)
	return &stream{ctx: ctx, events: events}, nil
}

// stream is the client's end of the event stream.
type stream struct {
	ctx    context.Context //nolint:containedctx // a gRPC stream has its context
	events chan *runtimeapi.ContainerEventResponse
}

func (s *stream) Header() (metadata.MD, error) { return nil, nil }
func (s *stream) Trailer() metadata.MD         { return nil }
func (s *stream) CloseSend() error             { return nil }
func (s *stream) Context() context.Context     { return s.ctx }
func (s *stream) SendMsg(any) error            { return nil }

func (s *stream) RecvMsg(m any) error {
	select {
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	case e, ok := <-s.events:
		if !ok {
			return io.EOF
		}
		into, ok := m.(proto.Message)
		if !ok {
			return fmt.Errorf("not a message: %T", m)
		}
		proto.Reset(into)
		proto.Merge(into, e)
		return nil
	}
}
