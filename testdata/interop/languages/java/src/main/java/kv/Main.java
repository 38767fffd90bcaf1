package kv;

import com.google.gson.Gson;
import io.grpc.ServerInterceptors;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.stub.StreamObserver;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import plugin.GRPCControllerGrpc;
import plugin.Plugin.Empty;
import sun.misc.Signal;
import sun.misc.SignalHandler;
import tenon.kv.v1.KVGrpc;
import tenon.kv.v1.Kv.PutRequest;
import tenon.languages.v1.CallbackGrpc;
import tenon.languages.v1.CallbackOuterClass.CallBackRequest;
import tenon.languages.v1.CallbackOuterClass.CallBackResponse;

/** The plugin. Hosts start it. --tcp serves on TCP. */
final class Main {
  private static final int ANSWER = 20; // seconds that the host has, when the plugin calls it
  private static final int PATIENCE = 1; // seconds that calls have to end, when the plugin is to

  /** Writes a line that hosts log at its level. */
  static void log(String level, String message) {
    String now = ZonedDateTime.now(ZoneOffset.UTC).format(DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSSX"));
    System.err.println(new Gson().toJson(Map.of("@level", level, "@message", message, "@module", "kv", "@timestamp", now)));
  }

  /** Ends the plugin. */
  private static final class Controller extends GRPCControllerGrpc.GRPCControllerImplBase {
    final CountDownLatch ended = new CountDownLatch(1);

    @Override
    public void shutdown(Empty request, StreamObserver<Empty> call) {
      call.onNext(Empty.getDefaultInstance());
      call.onCompleted();
      ended.countDown();
    }
  }

  /** Uses the broker both ways. */
  private static final class Callback extends CallbackGrpc.CallbackImplBase {
    private final Broker broker;
    private final ServerServiceDefinition store;

    Callback(Broker broker, ServerServiceDefinition store) {
      this.broker = broker;
      this.store = store;
    }

    @Override
    public void callBack(CallBackRequest request, StreamObserver<CallBackResponse> call) {
      try {
        var host = broker.dial(request.getHostStore());
        try {
          KVGrpc.newBlockingStub(host).withDeadlineAfter(ANSWER, TimeUnit.SECONDS)
              .put(PutRequest.newBuilder().setKey(request.getKey()).setValue(request.getValue()).build());
        } finally {
          host.shutdown();
        }
        call.onNext(CallBackResponse.newBuilder().setPluginStore(broker.serve(store)).build());
        call.onCompleted();
      } catch (Exception e) {
        call.onError(Status.INTERNAL.withDescription(e.toString()).asRuntimeException());
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    if (!"keys-and-values".equals(System.getenv("KV_PLUGIN"))) {
      System.err.println("This program is a plugin. The program that it belongs to starts it.");
      System.exit(1);
    }
    var handshake = System.out;
    var stdio = new Stdio();
    System.setOut(new PrintStream(stdio.output(), true, StandardCharsets.UTF_8));

    var security = new Security(System.getenv("PLUGIN_CLIENT_CERT"), List.of(arguments).contains("--tcp"));
    var broker = new Broker(security);
    var controller = new Controller();
    var health = new HealthStatusManager(); // of the whole server: the empty name
    health.setStatus("plugin", ServingStatus.SERVING);
    var store = ServerInterceptors.intercept(new Store(), new EarlyHeaders());
    var listening = security.serve(
        broker.bindService(), controller.bindService(), stdio.bindService(), health.getHealthService().bindService(),
        store, new Callback(broker, store).bindService());

    Signal.handle(new Signal("INT"), SignalHandler.SIG_IGN); // an interrupt is for the host
    Signal.handle(new Signal("TERM"), signal -> controller.ended.countDown());
    handshake.printf("1|1|%s|%s|grpc|%s\n", listening.network(), listening.address(), security.encoded());
    handshake.flush();

    controller.ended.await();
    broker.close();
    stdio.close();
    listening.server().shutdown();
    if (!listening.server().awaitTermination(PATIENCE, TimeUnit.SECONDS)) {
      listening.server().shutdownNow();
    }
    System.exit(0);
  }
}
