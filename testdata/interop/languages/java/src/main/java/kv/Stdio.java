package kv;

import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.util.ArrayDeque;
import java.util.Queue;
import plugin.GRPCStdioGrpc;
import plugin.Plugin.StdioData;

/** Sends the host what the plugin prints: standard output is the handshake's. */
final class Stdio extends GRPCStdioGrpc.GRPCStdioImplBase {
  private static final int UNSENT = 1000; // chunks that are kept until the host asks; not all hosts do

  private final Queue<StdioData> unsent = new ArrayDeque<>();
  private ServerCallStreamObserver<StdioData> host;

  /** The host calls this once, and again on a new connection. */
  @Override
  public synchronized void streamStdio(Empty request, StreamObserver<StdioData> answers) {
    host = (ServerCallStreamObserver<StdioData>) answers;
    host.setOnReadyHandler(this::wake);
    host.setOnCancelHandler(this::wake);
    unsent.forEach(host::onNext);
    unsent.clear();
  }

  private synchronized void wake() {
    notifyAll();
  }

  private synchronized void send(StdioData chunk) throws InterruptedIOException {
    while (host != null && !host.isReady() && !host.isCancelled()) {
      try {
        wait(); // for the host to read
      } catch (InterruptedException e) {
        throw new InterruptedIOException();
      }
    }
    if (host != null && !host.isCancelled()) {
      host.onNext(chunk);
    } else if (unsent.size() < UNSENT) {
      unsent.add(chunk);
    }
  }

  synchronized void close() {
    if (host != null) {
      host.onCompleted();
      host = null;
      notifyAll();
    }
  }

  /** Returns what takes the place of standard output. */
  OutputStream output() {
    return new OutputStream() {
      @Override
      public void write(byte[] bytes, int from, int length) throws IOException {
        var chunk = StdioData.newBuilder().setChannel(StdioData.Channel.STDOUT);
        send(chunk.setData(ByteString.copyFrom(bytes, from, length)).build());
      }

      @Override
      public void write(int b) throws IOException {
        write(new byte[] {(byte) b}, 0, 1);
      }
    };
  }
}
