"""A plugin made with pyvider-rpcplugin: a store of keys and values.

    plugin.py [--tcp] [--only VERSION] [--any-host]

Hosts start it. --tcp serves on TCP; --only offers another version of the
application's protocol than 1; --any-host leaves it at what the library does by
itself under AutoMTLS, which is to ask no host for its certificate.
"""

import asyncio
import json
import os
import secrets
import sys
from argparse import ArgumentParser
from datetime import datetime, timezone

from grpc import StatusCode
from pyvider.rpcplugin import RPCPluginProtocol, plugin_server

import kv_pb2
import kv_pb2_grpc


def log(level, message):
    """Writes a line that hosts log at its level."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = {"@level": level, "@message": message, "@module": "kv", "@timestamp": now}
    print(json.dumps(line), file=sys.stderr, flush=True)


class Store(kv_pb2_grpc.KVServicer):
    def __init__(self):
        self.values = {}
        self.watchers = []  # a queue and a prefix each

    async def put(self, request, context):
        if not request.key:
            await context.abort(StatusCode.INVALID_ARGUMENT, "the key is empty")
        replaced = request.key in self.values
        self.values[request.key] = request.value
        self.changed(kv_pb2.WatchResponse.KIND_PUT, request.key, request.value)
        return replaced

    def changed(self, kind, key, value=b""):
        for events, prefix in self.watchers:
            if key.startswith(prefix):
                events.put_nowait(kv_pb2.WatchResponse(kind=kind, key=key, value=value))

    async def Put(self, request, context):
        return kv_pb2.PutResponse(replaced=await self.put(request, context))

    async def Get(self, request, context):
        if request.key not in self.values:
            await context.abort(StatusCode.NOT_FOUND, f'there is no key "{request.key}"')
        return kv_pb2.GetResponse(value=self.values[request.key])

    async def Delete(self, request, context):
        deleted = self.values.pop(request.key, None) is not None
        if deleted:
            self.changed(kv_pb2.WatchResponse.KIND_DELETED, request.key)
        return kv_pb2.DeleteResponse(deleted=deleted)

    async def Watch(self, request, context):
        watcher = (asyncio.Queue(), request.prefix)
        self.watchers.append(watcher)
        try:
            await context.send_initial_metadata(())  # the host knows that the watch has begun
            for key in sorted(self.values):
                if key.startswith(request.prefix):
                    yield kv_pb2.WatchResponse(kind=kv_pb2.WatchResponse.KIND_PRESENT, key=key, value=self.values[key])
            while True:
                yield await watcher[0].get()
        finally:
            self.watchers.remove(watcher)

    async def PutAll(self, requests, context):
        stored = 0
        async for request in requests:
            await self.put(request, context)
            stored += 1
        return kv_pb2.PutAllResponse(stored=stored)

    async def GetAll(self, requests, context):
        async for request in requests:
            yield kv_pb2.GetAllResponse(key=request.key, value=self.values.get(request.key))

    async def Say(self, request, context):
        level = kv_pb2.SayRequest.Level.Name(request.level).removeprefix("LEVEL_").lower()
        log("info" if level == "unspecified" else level, request.text)
        print(request.text, flush=True)
        return kv_pb2.SayResponse()


class KV(RPCPluginProtocol):
    supported_protocol_versions = [1]

    async def get_grpc_descriptors(self):
        return kv_pb2, "tenon.kv.v1.KV"

    async def add_to_server(self, server, handler):
        kv_pb2_grpc.add_KVServicer_to_server(handler, server)


async def main():
    arguments = ArgumentParser()
    arguments.add_argument("--tcp", action="store_true")
    arguments.add_argument("--only", type=int)
    arguments.add_argument("--any-host", action="store_true")
    options = arguments.parse_args()

    config = {"PLUGIN_MAGIC_COOKIE_KEY": "KV_PLUGIN", "PLUGIN_MAGIC_COOKIE_VALUE": "keys-and-values"}
    if options.only:
        config["SUPPORTED_PROTOCOL_VERSIONS"] = [options.only]
    host = os.environ.get("PLUGIN_CLIENT_CERT")
    if host and not options.any_host:
        config["PLUGIN_CLIENT_ROOT_CERTS"] = host  # whoever has another certificate, or none, is refused
    where = {"transport": "tcp"} if options.tcp else {"transport_path": socket_path()}
    await plugin_server(KV(), Store(), config=config, **where).serve()


def socket_path():
    """A path in the host's own directory, which no other user can enter."""
    if directory := os.environ.get("PLUGIN_UNIX_SOCKET_DIR"):
        return os.path.join(directory, "plugin" + secrets.token_hex(5))
    return None  # somewhere in the directory for temporary files


asyncio.run(main())
