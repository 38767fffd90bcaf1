"""A host with grpcio alone, for any plugin that serves the store.

    host.py [--plaintext] [--curve P-521] [--broker] PLUGIN [ARGUMENT...]

It starts the plugin, uses it, stops it, and prints a line for each thing that
went as it should.
"""

import os
import queue
import subprocess
import threading
from argparse import REMAINDER, ArgumentParser

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

import callback_pb2
import callback_pb2_grpc
import goplugin
import kv_pb2
import kv_pb2_grpc
import plugin_pb2
import plugin_pb2_grpc
from plugin import Store

SPOKEN = "hello from inside the plugin"
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


class Plugin:
    """A running plugin."""

    def __init__(self, command, own):
        environment = os.environ | goplugin.COOKIE | {
            "PLUGIN_PROTOCOL_VERSIONS": "1", "PLUGIN_MIN_PORT": "10000", "PLUGIN_MAX_PORT": "25000"}
        if own:
            environment["PLUGIN_CLIENT_CERT"] = own.pem.decode()
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self.logged, self.printed = queue.SimpleQueue(), queue.SimpleQueue()
            follow(self.process.stderr, self.logged)
            line = self.process.stdout.readline()
            fields = line.strip().split("|")
            if len(fields) < 5 or fields[0] != "1" or fields[1] != "1" or fields[4] != "grpc":
                raise RuntimeError(f"no handshake but {line!r}")
            follow(self.process.stdout, queue.SimpleQueue())  # must be read to its end
            certificate = fields[5] if len(fields) > 5 else ""
            if bool(certificate) != bool(own):
                raise RuntimeError("only one side has a certificate")
            security = goplugin.Security(own, goplugin.decoded(certificate)) if own else goplugin.Security()
            self.channel = security.dial(fields[2], fields[3])
            health_pb2_grpc.HealthStub(self.channel).Check(health_pb2.HealthCheckRequest(service="plugin"), timeout=10)
            self.broker = goplugin.Broker(security)
            infos = plugin_pb2_grpc.GRPCBrokerStub(self.channel).StartStream(self.broker.sent())
            follow(infos, None, self.broker.received)
            follow(plugin_pb2_grpc.GRPCStdioStub(self.channel).StreamStdio(empty_pb2.Empty()), self.printed)
        except BaseException:
            self.process.kill()
            raise

    def stop(self):
        """Asks the plugin to end, and makes sure that it does."""
        self.broker.close()
        try:
            plugin_pb2_grpc.GRPCControllerStub(self.channel).Shutdown(plugin_pb2.Empty(), timeout=2)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:  # go-plugin's own answer
                print("Shutdown:", error.details())
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.channel.close()


def follow(stream, into, consume=None):
    """Reads a stream in the background until it ends."""
    def read():
        try:
            if consume:
                consume(stream)
            else:
                for item in stream:
                    into.put(item)
        except grpc.RpcError:
            pass  # the plugin is gone, or has no such service
    threading.Thread(target=read, daemon=True).start()


def use(kv):
    put = kv.Put(kv_pb2.PutRequest(key="name", value=b"tenon"))
    got = kv.Get(kv_pb2.GetRequest(key="name"))
    assert not put.replaced and got.value == b"tenon", (put, got)
    try:
        kv.Get(kv_pb2.GetRequest(key="none"))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND, error
        assert error.details() == 'there is no key "none"', error
    else:
        raise AssertionError("a key that is not there was found")
    large = bytes(6 << 20)
    kv.Put(kv_pb2.PutRequest(key="large", value=large))
    assert kv.Get(kv_pb2.GetRequest(key="large")).value == large
    print("put and get: ok")


def stream(kv):
    requests = [kv_pb2.PutRequest(key=f"many/{i}", value=b"%d" % i) for i in range(3)]
    assert kv.PutAll(iter(requests)).stored == 3
    watch = kv.Watch(kv_pb2.WatchRequest(prefix="many/"))
    assert [next(watch).key for _ in range(3)] == ["many/0", "many/1", "many/2"]
    got = list(kv.GetAll(iter([kv_pb2.GetRequest(key="many/1"), kv_pb2.GetRequest(key="none")])))
    assert got[0].value == b"1" and not got[1].HasField("value"), got
    assert kv.Delete(kv_pb2.DeleteRequest(key="many/2")).deleted
    assert next(watch).kind == kv_pb2.WatchResponse.KIND_DELETED
    watch.cancel()
    print("streams: ok")


def call_back(plugin, kv):
    """Uses the broker both ways."""
    store = Store()
    id = plugin.broker.serve(lambda server: kv_pb2_grpc.add_KVServicer_to_server(store, server))
    answer = callback_pb2_grpc.CallbackStub(plugin.channel).CallBack(
        callback_pb2.CallBackRequest(host_store=id, key="from", value=b"the plugin"), timeout=20)
    assert store.values == {"from": b"the plugin"}, store.values
    kv.Put(kv_pb2.PutRequest(key="by", value=b"the main connection"))
    with plugin.broker.dial(answer.plugin_store) as channel:
        got = kv_pb2_grpc.KVStub(channel).Get(kv_pb2.GetRequest(key="by"), timeout=20)
    assert got.value == b"the main connection", got
    print("broker: ok")


def main():
    arguments = ArgumentParser()
    arguments.add_argument("--plaintext", action="store_true")
    arguments.add_argument("--curve", choices=CURVES, default="P-256")
    arguments.add_argument("--broker", action="store_true")
    arguments.add_argument("plugin", nargs=REMAINDER)
    options = arguments.parse_args()

    plugin = Plugin(options.plugin, None if options.plaintext else goplugin.Identity(CURVES[options.curve]))
    try:
        kv = kv_pb2_grpc.KVStub(plugin.channel)
        use(kv)
        if options.broker:
            call_back(plugin, kv)
        else:
            stream(kv)
        kv.Say(kv_pb2.SayRequest(level=kv_pb2.SayRequest.LEVEL_WARN, text=SPOKEN))
        while SPOKEN not in plugin.logged.get(timeout=10):
            pass
        print("log: ok")
        assert plugin.printed.get(timeout=10).data.decode() == SPOKEN + "\n"
        print("stdio: ok")
    finally:
        status = plugin.stop()
    print("exit status:", status)


main()
