package kv;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;

/** Lets a method send its headers before it has a message: of itself gRPC sends both together. */
final class EarlyHeaders implements ServerInterceptor {
  private static final Context.Key<Runnable> SEND = Context.key("send");

  /** Sends the headers of the call whose method runs. */
  static void send() {
    SEND.get().run();
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    var once = new SimpleForwardingServerCall<Q, A>(call) {
      private boolean sent;

      @Override
      public void sendHeaders(Metadata headers) {
        if (!sent) {
          super.sendHeaders(headers);
        }
        sent = true;
      }
    };
    Runnable send = () -> once.sendHeaders(new Metadata());
    return Contexts.interceptCall(Context.current().withValue(SEND, send), once, headers, next);
  }
}
