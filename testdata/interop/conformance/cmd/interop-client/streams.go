package main

import (
	"context"
	"fmt"

	"github.com/tenonrpc/tenon/h2grpc"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/interoppb"
)

func clientStreaming(ctx context.Context, c *client) error {
	stream, err := c.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	sum := 0
	for _, size := range requestSizes {
		if err := stream.Send(&pb.StreamingInputCallRequest{Payload: payload(size)}); err != nil {
			return err
		}
		sum += size
	}
	res, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	if int(res.AggregatedPayloadSize) != sum {
		return fmt.Errorf("the server counted %d bytes, want %d", res.AggregatedPayloadSize, sum)
	}
	return nil
}

func serverStreaming(ctx context.Context, c *client) error {
	req := new(pb.StreamingOutputCallRequest)
	for _, size := range responseSizes {
		req.ResponseParameters = append(req.ResponseParameters, &pb.ResponseParameters{Size: int32(size)})
	}
	stream, err := c.StreamingOutputCall(ctx, req)
	if err != nil {
		return err
	}
	for i, size := range responseSizes {
		res, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("response %d: %w", i, err)
		}
		if err := wantPayload(res.Payload, size); err != nil {
			return fmt.Errorf("response %d: %w", i, err)
		}
	}
	return wantEnd(stream)
}

func pingPong(ctx context.Context, c *client) error {
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for i := range requestSizes {
		if err := exchange(stream, requestSizes[i], responseSizes[i]); err != nil {
			return fmt.Errorf("exchange %d: %w", i, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return wantEnd(stream)
}

// exchange sends a request and receives its one response.
func exchange(stream h2grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse], request, response int) error {
	err := stream.Send(&pb.StreamingOutputCallRequest{
		ResponseParameters: []*pb.ResponseParameters{{Size: int32(response)}},
		Payload:            payload(request),
	})
	if err != nil {
		return err
	}
	res, err := stream.Recv()
	if err != nil {
		return err
	}
	return wantPayload(res.Payload, response)
}

func emptyStream(ctx context.Context, c *client) error {
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return wantEnd(stream)
}
