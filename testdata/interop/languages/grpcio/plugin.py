"""A plugin with grpcio alone: a store of keys and values.

    plugin.py [--tcp]

Hosts start it. --tcp serves on TCP.
"""

import json
import os
import queue
import signal
import sys
import threading
from datetime import datetime, timezone

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

import callback_pb2
import callback_pb2_grpc
import goplugin
import kv_pb2
import kv_pb2_grpc
import plugin_pb2
import plugin_pb2_grpc


def log(level, message):
    """Writes a line that hosts log at its level."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = {"@level": level, "@message": message, "@module": "kv", "@timestamp": now}
    print(json.dumps(line), file=sys.stderr, flush=True)


class Store(kv_pb2_grpc.KVServicer):
    def __init__(self, say=print):
        self.lock = threading.Lock()
        self.values = {}
        self.watchers = []  # a queue and a prefix each
        self.say = say

    def put(self, request, context):
        if not request.key:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the key is empty")
        with self.lock:
            replaced = request.key in self.values
            self.values[request.key] = request.value
            self.changed(kv_pb2.WatchResponse.KIND_PUT, request.key, request.value)
        return replaced

    def changed(self, kind, key, value=b""):
        for events, prefix in self.watchers:
            if key.startswith(prefix):
                events.put(kv_pb2.WatchResponse(kind=kind, key=key, value=value))

    def Put(self, request, context):
        return kv_pb2.PutResponse(replaced=self.put(request, context))

    def Get(self, request, context):
        value = self.values.get(request.key)
        if value is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f'there is no key "{request.key}"')
        return kv_pb2.GetResponse(value=value)

    def Delete(self, request, context):
        with self.lock:
            deleted = self.values.pop(request.key, None) is not None
            if deleted:
                self.changed(kv_pb2.WatchResponse.KIND_DELETED, request.key)
        return kv_pb2.DeleteResponse(deleted=deleted)

    def Watch(self, request, context):
        watcher = (queue.SimpleQueue(), request.prefix)
        with self.lock:
            present = sorted(item for item in self.values.items() if item[0].startswith(request.prefix))
            self.watchers.append(watcher)
        context.add_callback(lambda: watcher[0].put(None))  # when the call is over
        context.send_initial_metadata(())  # the host knows that the watch has begun
        for key, value in present:
            yield kv_pb2.WatchResponse(kind=kv_pb2.WatchResponse.KIND_PRESENT, key=key, value=value)
        yield from iter(watcher[0].get, None)
        with self.lock:
            self.watchers.remove(watcher)

    def PutAll(self, requests, context):
        return kv_pb2.PutAllResponse(stored=sum(self.put(request, context) is not None for request in requests))

    def GetAll(self, requests, context):
        for request in requests:
            yield kv_pb2.GetAllResponse(key=request.key, value=self.values.get(request.key))

    def Say(self, request, context):
        level = kv_pb2.SayRequest.Level.Name(request.level).removeprefix("LEVEL_").lower()
        log("info" if level == "unspecified" else level, request.text)
        self.say(request.text)
        return kv_pb2.SayResponse()


class Callback(callback_pb2_grpc.CallbackServicer):
    """Uses the broker both ways."""

    def __init__(self, broker, store):
        self.broker, self.store = broker, store

    def CallBack(self, request, context):
        with self.broker.dial(request.host_store) as channel:
            kv_pb2_grpc.KVStub(channel).Put(kv_pb2.PutRequest(key=request.key, value=request.value))
        id = self.broker.serve(lambda server: kv_pb2_grpc.add_KVServicer_to_server(self.store, server))
        return callback_pb2.CallBackResponse(plugin_store=id)


class Control(plugin_pb2_grpc.GRPCBrokerServicer, plugin_pb2_grpc.GRPCControllerServicer, plugin_pb2_grpc.GRPCStdioServicer):
    """The protocol's own services."""

    def __init__(self, broker):
        self.broker = broker
        self.printed = queue.SimpleQueue()
        self.ended = threading.Event()

    def StartStream(self, requests, context):
        threading.Thread(target=self.receive, args=(requests,), daemon=True).start()
        yield from self.broker.sent()

    def receive(self, requests):
        try:
            self.broker.received(requests)
        except grpc.RpcError:
            pass  # the host is gone

    def StreamStdio(self, request, context):
        for text in iter(self.printed.get, None):
            yield plugin_pb2.StdioData(channel=plugin_pb2.StdioData.STDOUT, data=text.encode())

    def say(self, text):
        self.printed.put(text + "\n")

    def Shutdown(self, request, context):
        self.ended.set()
        return plugin_pb2.Empty()

    def close(self):
        self.printed.put(None)
        self.broker.close()


def main():
    if any(os.environ.get(key) != value for key, value in goplugin.COOKIE.items()):
        sys.exit("This program is a plugin. The program that it belongs to starts it.")
    versions = os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "1").split(",")
    version = 1  # the only one here; a host that has another says so to its user
    if str(version) not in versions:
        log("warn", f"the host has the versions {versions} and not {version}")

    tcp = "--tcp" in sys.argv
    certificate, security = "", goplugin.Security()
    if host := os.environ.get("PLUGIN_CLIENT_CERT"):
        own = goplugin.Identity()
        certificate, security = own.encoded(), goplugin.Security(own, host.encode())

    broker = goplugin.Broker(security, tcp)
    control = Control(broker)
    store = Store(control.say)
    healthy = health.HealthServicer()
    healthy.set("plugin", health_pb2.HealthCheckResponse.SERVING)
    server, network, address = goplugin.serve(
        security, tcp,
        lambda s: plugin_pb2_grpc.add_GRPCBrokerServicer_to_server(control, s),
        lambda s: plugin_pb2_grpc.add_GRPCControllerServicer_to_server(control, s),
        lambda s: plugin_pb2_grpc.add_GRPCStdioServicer_to_server(control, s),
        lambda s: health_pb2_grpc.add_HealthServicer_to_server(healthy, s),
        lambda s: kv_pb2_grpc.add_KVServicer_to_server(store, s),
        lambda s: callback_pb2_grpc.add_CallbackServicer_to_server(Callback(broker, store), s),
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the host
    signal.signal(signal.SIGTERM, lambda *_: control.ended.set())
    print(f"1|{version}|{network}|{address}|grpc|{certificate}", flush=True)
    control.ended.wait()
    control.close()
    server.stop(1).wait()


if __name__ == "__main__":
    main()
