"""A host made with pyvider-rpcplugin, for any plugin that serves the store.

    host.py [--plaintext] [--curve P-256] [--short] [--patience SECONDS] PLUGIN [ARGUMENT...]

It starts the plugin, uses it, stops it, and prints a line for each thing that
went as it should.
"""

import asyncio
import os
from argparse import REMAINDER, ArgumentParser

from grpc import StatusCode
from grpc.aio import AioRpcError
from pyvider.rpcplugin import configure, plugin_client

import kv_pb2
import kv_pb2_grpc

SPOKEN = "hello from inside the plugin"


class Heard:
    """Stands in for a client's logger, and notices what the plugin says."""

    def __init__(self, logger):
        self.logger = logger
        self.logged, self.printed = asyncio.Event(), asyncio.Event()

    def debug(self, text, **more):
        if SPOKEN in text:
            (self.printed if text.startswith("Plugin stdout: ") else self.logged).set()
        self.logger.debug(text, **more)

    def is_debug_enabled(self):
        return True  # otherwise it is not told what the plugin prints

    def __getattr__(self, name):
        return getattr(self.logger, name)


async def use(kv):
    """Makes a call of each of gRPC's kinds that every store has."""
    put = await kv.Put(kv_pb2.PutRequest(key="name", value=b"tenon"))
    got = await kv.Get(kv_pb2.GetRequest(key="name"))
    assert not put.replaced and got.value == b"tenon", (put, got)
    try:
        await kv.Get(kv_pb2.GetRequest(key="none"))
    except AioRpcError as error:
        assert error.code() is StatusCode.NOT_FOUND, error
        assert error.details() == 'there is no key "none"', error
    else:
        raise AssertionError("a key that is not there was found")
    large = bytes(3 << 20)
    await kv.Put(kv_pb2.PutRequest(key="large", value=large))
    assert (await kv.Get(kv_pb2.GetRequest(key="large"))).value == large
    print("put and get: ok")


async def stream(kv):
    """Makes the streaming calls."""
    requests = [kv_pb2.PutRequest(key=f"many/{i}", value=b"%d" % i) for i in range(3)]
    assert (await kv.PutAll(iter(requests))).stored == 3
    watch = kv.Watch(kv_pb2.WatchRequest(prefix="many/"))
    assert [(await watch.read()).key for _ in range(3)] == ["many/0", "many/1", "many/2"]
    keys = [kv_pb2.GetRequest(key="many/1"), kv_pb2.GetRequest(key="none")]
    got = [answer async for answer in kv.GetAll(iter(keys))]
    assert got[0].value == b"1" and not got[1].HasField("value"), got
    assert (await kv.Delete(kv_pb2.DeleteRequest(key="many/2"))).deleted
    assert (await watch.read()).kind == kv_pb2.WatchResponse.KIND_DELETED
    watch.cancel()
    print("streams: ok")


async def main():
    arguments = ArgumentParser()
    arguments.add_argument("--plaintext", action="store_true")
    arguments.add_argument("--curve", default="P-384")
    arguments.add_argument("--short", action="store_true", help="leave out streaming calls and what is printed")
    arguments.add_argument("--patience", type=float, default=10, help="seconds for each of three attempts to connect")
    arguments.add_argument("plugin", nargs=REMAINDER)
    options = arguments.parse_args()

    os.environ["PYVIDER_CLIENT_CERT_CURVE"] = options.curve
    configure(magic_cookie_key="KV_PLUGIN", magic_cookie="keys-and-values", auto_mtls=not options.plaintext,
              channel_ready_timeout=options.patience, client_retry_enabled=False)
    client = plugin_client(options.plugin, {"env": {"PLUGIN_PROTOCOL_VERSIONS": "1"}})
    client.logger = heard = Heard(client.logger)
    await client.start()
    try:
        kv = kv_pb2_grpc.KVStub(client.grpc_channel)
        await use(kv)
        if not options.short:
            await stream(kv)
        await kv.Say(kv_pb2.SayRequest(level=kv_pb2.SayRequest.LEVEL_WARN, text=SPOKEN))
        await asyncio.wait_for(heard.logged.wait(), 10)
        print("log: ok")
        if not options.short:
            await asyncio.wait_for(heard.printed.wait(), 10)
            print("stdio: ok")
        process = client._process.process  # the client tells nobody how it ended
        await client.shutdown_plugin()
        print("exit status:", await asyncio.to_thread(process.wait, 10))
    finally:
        await client.close()


asyncio.run(main())
