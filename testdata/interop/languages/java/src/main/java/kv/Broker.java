package kv;

import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.StreamObserver;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import plugin.GRPCBrokerGrpc;
import plugin.Plugin.ConnInfo;

/** Further connections, in either direction. */
final class Broker extends GRPCBrokerGrpc.GRPCBrokerImplBase {
  private static final int PATIENCE = 5; // seconds to wait for the host

  private final Security security;
  private final AtomicInteger last = new AtomicInteger();
  private final Map<Integer, CompletableFuture<ConnInfo>> known = new ConcurrentHashMap<>();
  private final Queue<Server> servers = new ConcurrentLinkedQueue<>();

  // Guarded by this, as is every use of the stream in it.
  private CompletableFuture<StreamObserver<ConnInfo>> host = new CompletableFuture<>();

  Broker(Security security) {
    this.security = security;
  }

  /** The host calls this once and keeps the stream, and again on a new connection. */
  @Override
  public synchronized StreamObserver<ConnInfo> startStream(StreamObserver<ConnInfo> answers) {
    if (!host.complete(answers)) {
      host = CompletableFuture.completedFuture(answers);
    }
    return new StreamObserver<>() {
      @Override
      public void onNext(ConnInfo info) {
        arrival(info.getServiceId()).complete(info);
      }

      @Override
      public void onError(Throwable gone) {
        end(answers);
      }

      @Override
      public void onCompleted() {
        end(answers);
      }
    };
  }

  /** Ends a stream, unless another has taken its place. */
  private synchronized void end(StreamObserver<ConnInfo> answers) {
    if (host.getNow(null) == answers) {
      host = new CompletableFuture<>();
      answers.onCompleted();
    }
  }

  private CompletableFuture<ConnInfo> arrival(int id) {
    return known.computeIfAbsent(id, absent -> new CompletableFuture<>());
  }

  /** Serves one brokered connection and returns its id. */
  int serve(ServerServiceDefinition... services) throws Exception {
    CompletableFuture<StreamObserver<ConnInfo>> expected;
    synchronized (this) {
      expected = host;
    }
    var stream = expected.get(PATIENCE, TimeUnit.SECONDS);
    var listening = security.serve(services);
    servers.add(listening.server());
    int id = last.incrementAndGet();
    var info = ConnInfo.newBuilder().setServiceId(id).setNetwork(listening.network()).setAddress(listening.address());
    synchronized (this) {
      stream.onNext(info.build());
    }
    return id;
  }

  /** Connects to what the host serves under an id. */
  ManagedChannel dial(int id) throws Exception {
    try {
      var info = arrival(id).get(PATIENCE, TimeUnit.SECONDS);
      return security.dial(info.getNetwork(), info.getAddress());
    } finally {
      known.remove(id);
    }
  }

  /** Ends the stream and stops the servers. */
  void close() {
    synchronized (this) {
      if (host.isDone()) {
        end(host.join());
      }
    }
    servers.forEach(Server::shutdownNow);
  }
}
