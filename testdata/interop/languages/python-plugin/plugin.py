"""A plugin made with python-plugin: a store of keys and values.

    plugin.py [--tcp] [--only VERSION] [--stubborn] [--child]

Hosts start it. --tcp serves on TCP; --only offers one version of the
application's protocol, not 1 and 2; --stubborn does not end when it is told to;
--child leaves a process behind that holds the plugin's stdout and stderr.
"""

import asyncio
import json
import signal
import subprocess
import sys
from argparse import ArgumentParser
from datetime import datetime, timezone

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from pyplugin import HandshakeConfig, Plugin, ServeConfig, serve

import callback_grpc
import callback_pb2
import kv_grpc
import kv_pb2


def log(level, message):
    """Writes a line that hosts log at its level."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = {"@level": level, "@message": message, "@module": "kv", "@timestamp": now}
    print(json.dumps(line), file=sys.stderr, flush=True)


class Store(kv_grpc.KVBase):
    def __init__(self):
        self.values = {}
        self.watchers = []  # a queue and a prefix each

    def put(self, key, value):
        if not key:
            raise GRPCError(Status.INVALID_ARGUMENT, "the key is empty")
        replaced = key in self.values
        self.values[key] = value
        self.changed(kv_pb2.WatchResponse.KIND_PUT, key, value)
        return replaced

    def changed(self, kind, key, value=b""):
        for queue, prefix in self.watchers:
            if key.startswith(prefix):
                queue.put_nowait(kv_pb2.WatchResponse(kind=kind, key=key, value=value))

    async def Put(self, stream):
        request = await stream.recv_message()
        await stream.send_message(kv_pb2.PutResponse(replaced=self.put(request.key, request.value)))

    async def Get(self, stream):
        request = await stream.recv_message()
        if request.key not in self.values:
            raise GRPCError(Status.NOT_FOUND, f'there is no key "{request.key}"')
        await stream.send_message(kv_pb2.GetResponse(value=self.values[request.key]))

    async def Delete(self, stream):
        request = await stream.recv_message()
        deleted = self.values.pop(request.key, None) is not None
        if deleted:
            self.changed(kv_pb2.WatchResponse.KIND_DELETED, request.key)
        await stream.send_message(kv_pb2.DeleteResponse(deleted=deleted))

    async def Watch(self, stream):
        request = await stream.recv_message()
        watcher = (asyncio.Queue(), request.prefix)
        self.watchers.append(watcher)
        try:
            await stream.send_initial_metadata()  # the host knows that the watch has begun
            for key in sorted(self.values):
                if key.startswith(request.prefix):
                    await stream.send_message(kv_pb2.WatchResponse(
                        kind=kv_pb2.WatchResponse.KIND_PRESENT, key=key, value=self.values[key]))
            while True:
                await stream.send_message(await watcher[0].get())
        finally:
            self.watchers.remove(watcher)

    async def PutAll(self, stream):
        stored = 0
        async for request in stream:
            self.put(request.key, request.value)
            stored += 1
        await stream.send_message(kv_pb2.PutAllResponse(stored=stored))

    async def GetAll(self, stream):
        async for request in stream:
            await stream.send_message(kv_pb2.GetAllResponse(key=request.key, value=self.values.get(request.key)))

    async def Say(self, stream):
        request = await stream.recv_message()
        level = kv_pb2.SayRequest.Level.Name(request.level).removeprefix("LEVEL_").lower()
        log("info" if level == "unspecified" else level, request.text)
        print(request.text, flush=True)
        await stream.send_message(kv_pb2.SayResponse())


class Callback(callback_grpc.CallbackBase):
    """Uses the broker both ways."""

    def __init__(self, broker, store):
        self.broker, self.store = broker, store

    async def CallBack(self, stream):
        request = await stream.recv_message()
        async with await self.broker.dial(request.host_store) as channel:
            await kv_grpc.KVStub(channel).Put(kv_pb2.PutRequest(key=request.key, value=request.value))
        id = self.broker.next_id()
        await self.broker.accept_and_serve(id, [self.store])
        await stream.send_message(callback_pb2.CallBackResponse(plugin_store=id))


class KV(Plugin):
    def __init__(self, version):
        self.version = version

    def servicers(self, broker):
        store = Store()
        store.values["version"] = str(self.version).encode()
        return [store, Callback(broker, store)]

    def stub(self, broker, channel):
        return kv_grpc.KVStub(channel)


def main():
    arguments = ArgumentParser()
    arguments.add_argument("--tcp", action="store_true")
    arguments.add_argument("--only", type=int)
    arguments.add_argument("--stubborn", action="store_true")
    arguments.add_argument("--child", action="store_true")
    options = arguments.parse_args()
    if options.child:
        subprocess.Popen(["sleep", "30"], stdin=subprocess.DEVNULL)
    versions = [options.only] if options.only else [1, 2]
    serve(ServeConfig(
        handshake_config=HandshakeConfig(
            protocol_version=1, magic_cookie_key="KV_PLUGIN", magic_cookie_value="keys-and-values"),
        plugins={version: {"kv": KV(version)} for version in versions},
        force_tcp=options.tcp,
    ))
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
