package kv;

import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.OutputStream;
import java.util.ArrayDeque;
import java.util.Queue;
import plugin.GRPCStdioGrpc;
import plugin.Plugin.StdioData;

/** Sends the host what the plugin prints: standard output is the handshake's. */
final class Stdio extends GRPCStdioGrpc.GRPCStdioImplBase {
  private static final int UNSENT = 1000; // chunks that are kept until the host asks; not all hosts do

  private final Queue<StdioData> unsent = new ArrayDeque<>();
  private StreamObserver<StdioData> host;

  /** The host calls this once, and again on a new connection. */
  @Override
  public synchronized void streamStdio(Empty request, StreamObserver<StdioData> answers) {
    // A stream with a handler takes data after its end too, and drops it.
    ((ServerCallStreamObserver<StdioData>) answers).setOnCancelHandler(() -> {});
    host = answers;
    unsent.forEach(host::onNext);
    unsent.clear();
  }

  private synchronized void send(StdioData chunk) {
    if (host != null) {
      host.onNext(chunk);
    } else if (unsent.size() < UNSENT) {
      unsent.add(chunk);
    }
  }

  synchronized void close() {
    if (host != null) {
      host.onCompleted();
      host = null;
    }
  }

  /** Returns what takes the place of standard output. */
  OutputStream output() {
    return new OutputStream() {
      @Override
      public void write(byte[] bytes, int from, int length) {
        var chunk = StdioData.newBuilder().setChannel(StdioData.Channel.STDOUT);
        send(chunk.setData(ByteString.copyFrom(bytes, from, length)).build());
      }

      @Override
      public void write(int b) {
        write(new byte[] {(byte) b}, 0, 1);
      }
    };
  }
}
