package kv;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import tenon.kv.v1.KVGrpc;
import tenon.kv.v1.Kv.*;

/** The application: a store of keys and values. */
final class Store extends KVGrpc.KVImplBase {
  private final SortedMap<String, ByteString> values = new TreeMap<>(); // guarded by this
  private final Map<StreamObserver<WatchResponse>, String> watchers = new LinkedHashMap<>(); // prefixes; guarded by this

  private static <A> void answer(StreamObserver<A> call, A answer) {
    call.onNext(answer);
    call.onCompleted();
  }

  private static WatchResponse event(WatchResponse.Kind kind, String key, ByteString value) {
    return WatchResponse.newBuilder().setKind(kind).setKey(key).setValue(value).build();
  }

  private void changed(WatchResponse event) {
    watchers.forEach((call, prefix) -> {
      if (event.getKey().startsWith(prefix)) {
        call.onNext(event);
      }
    });
  }

  /** Fails the call if the request has no key. */
  private boolean refused(PutRequest request, StreamObserver<?> call) {
    if (request.getKey().isEmpty()) {
      call.onError(Status.INVALID_ARGUMENT.withDescription("the key is empty").asRuntimeException());
    }
    return request.getKey().isEmpty();
  }

  private synchronized boolean put(PutRequest request) {
    boolean replaced = values.put(request.getKey(), request.getValue()) != null;
    changed(event(WatchResponse.Kind.KIND_PUT, request.getKey(), request.getValue()));
    return replaced;
  }

  private synchronized ByteString value(String key) {
    return values.get(key);
  }

  @Override
  public void put(PutRequest request, StreamObserver<PutResponse> call) {
    if (!refused(request, call)) {
      answer(call, PutResponse.newBuilder().setReplaced(put(request)).build());
    }
  }

  @Override
  public void get(GetRequest request, StreamObserver<GetResponse> call) {
    var value = value(request.getKey());
    if (value == null) {
      call.onError(Status.NOT_FOUND.withDescription("there is no key \"" + request.getKey() + '"').asRuntimeException());
    } else {
      answer(call, GetResponse.newBuilder().setValue(value).build());
    }
  }

  @Override
  public synchronized void delete(DeleteRequest request, StreamObserver<DeleteResponse> call) {
    boolean deleted = values.remove(request.getKey()) != null;
    if (deleted) {
      changed(event(WatchResponse.Kind.KIND_DELETED, request.getKey(), ByteString.EMPTY));
    }
    answer(call, DeleteResponse.newBuilder().setDeleted(deleted).build());
  }

  @Override
  public synchronized void watch(WatchRequest request, StreamObserver<WatchResponse> call) {
    ((ServerCallStreamObserver<WatchResponse>) call).setOnCancelHandler(() -> {
      synchronized (this) {
        watchers.remove(call);
      }
    });
    EarlyHeaders.send(); // the host knows that the watch has begun
    values.tailMap(request.getPrefix()).forEach((key, value) -> {
      if (key.startsWith(request.getPrefix())) {
        call.onNext(event(WatchResponse.Kind.KIND_PRESENT, key, value));
      }
    });
    watchers.put(call, request.getPrefix());
  }

  /** The requests of a stream. */
  private abstract static class Requests<Q> implements StreamObserver<Q> {
    @Override
    public void onError(Throwable cancelled) {}
  }

  @Override
  public StreamObserver<PutRequest> putAll(StreamObserver<PutAllResponse> call) {
    return new Requests<>() {
      private int stored;
      private boolean failed;

      @Override
      public void onNext(PutRequest request) {
        failed = failed || refused(request, call);
        if (!failed) {
          put(request);
          stored++;
        }
      }

      @Override
      public void onCompleted() {
        if (!failed) {
          answer(call, PutAllResponse.newBuilder().setStored(stored).build());
        }
      }
    };
  }

  @Override
  public StreamObserver<GetRequest> getAll(StreamObserver<GetAllResponse> call) {
    return new Requests<>() {
      @Override
      public void onNext(GetRequest request) {
        var answer = GetAllResponse.newBuilder().setKey(request.getKey());
        var value = value(request.getKey());
        call.onNext((value == null ? answer : answer.setValue(value)).build());
      }

      @Override
      public void onCompleted() {
        call.onCompleted();
      }
    };
  }

  @Override
  public void say(SayRequest request, StreamObserver<SayResponse> call) {
    String level = request.getLevel().name().replace("LEVEL_", "").toLowerCase();
    Main.log(level.equals("unspecified") ? "info" : level, request.getText());
    System.out.println(request.getText());
    answer(call, SayResponse.getDefaultInstance());
  }
}
