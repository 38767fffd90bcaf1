"""A host made with python-plugin, for any plugin that serves the store.

    host.py [--plaintext] [--broker] [--reattach] [--noise] [--versions 1,2] PLUGIN [ARGUMENT...]

It starts the plugin, uses it, stops it, and prints a line for each thing that
went as it should.
"""

import asyncio
import logging
from argparse import REMAINDER, ArgumentParser

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from pyplugin import Client, ClientConfig, HandshakeConfig, Plugin

import callback_grpc
import callback_pb2
import kv_grpc
import kv_pb2
from plugin import Store

SPOKEN = "hello from inside the plugin"


class KV(Plugin):
    def servicers(self, broker):
        raise NotImplementedError("this is a host")

    def stub(self, broker, channel):
        return kv_grpc.KVStub(channel), callback_grpc.CallbackStub(channel)


class Heard(logging.Handler):
    """Notices what the plugin logs."""

    def __init__(self):
        super().__init__()
        self.spoken = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def emit(self, record):
        if record.getMessage() == SPOKEN and record.levelno == logging.WARNING:
            self.loop.call_soon_threadsafe(self.spoken.set)


async def use(kv):
    """Makes a call of each of gRPC's kinds that every store has."""
    put = await kv.Put(kv_pb2.PutRequest(key="name", value=b"tenon"))
    got = await kv.Get(kv_pb2.GetRequest(key="name"))
    assert not put.replaced and got.value == b"tenon", (put, got)
    try:
        await kv.Get(kv_pb2.GetRequest(key="none"))
    except GRPCError as error:
        assert error.status is Status.NOT_FOUND, error
        assert error.message == 'there is no key "none"', error
    else:
        raise AssertionError("a key that is not there was found")
    large = bytes(3 << 20)
    await kv.Put(kv_pb2.PutRequest(key="large", value=large))
    assert (await kv.Get(kv_pb2.GetRequest(key="large"))).value == large
    print("put and get: ok")


async def stream(kv):
    """Makes the streaming calls."""
    async with kv.PutAll.open() as call:
        for i in range(3):
            await call.send_message(kv_pb2.PutRequest(key=f"many/{i}", value=b"%d" % i))
        await call.end()
        answer = await call.recv_message()
        assert answer.stored == 3, answer
    async with kv.Watch.open() as watch:
        await watch.send_message(kv_pb2.WatchRequest(prefix="many/"), end=True)
        for i in range(3):
            event = await watch.recv_message()
            assert event.key == f"many/{i}" and event.kind == kv_pb2.WatchResponse.KIND_PRESENT, event
        async with kv.GetAll.open() as call:
            for key, value in [("many/1", b"1"), ("none", None)]:
                await call.send_message(kv_pb2.GetRequest(key=key))
                got = await call.recv_message()
                assert (got.value if got.HasField("value") else None) == value, got
            await call.end()
            assert await call.recv_message() is None
        assert (await kv.Delete(kv_pb2.DeleteRequest(key="many/2"))).deleted
        event = await watch.recv_message()
        assert event.kind == kv_pb2.WatchResponse.KIND_DELETED and event.key == "many/2", event
        await watch.cancel()
    print("streams: ok")


async def call_back(client, kv, callback, store, id):
    """Uses the broker both ways."""
    answer = await callback.CallBack(
        callback_pb2.CallBackRequest(host_store=id, key="from", value=b"the plugin"))
    assert store.values == {"from": b"the plugin"}, store.values
    await kv.Put(kv_pb2.PutRequest(key="by", value=b"the main connection"))
    async with await client.broker.dial(answer.plugin_store) as channel:
        got = await kv_grpc.KVStub(channel).Get(kv_pb2.GetRequest(key="by"))
    assert got.value == b"the main connection", got
    print("broker: ok")


async def main():
    arguments = ArgumentParser()
    arguments.add_argument("--plaintext", action="store_true")
    arguments.add_argument("--broker", action="store_true")
    arguments.add_argument("--reattach", action="store_true")
    arguments.add_argument("--noise", action="store_true")
    arguments.add_argument("--versions", default="1")
    arguments.add_argument("plugin", nargs=REMAINDER)
    options = arguments.parse_args()

    stderr = logging.getLogger("plugin")
    heard = Heard()
    stderr.addHandler(heard)
    common = dict(
        handshake_config=HandshakeConfig(1, "KV_PLUGIN", "keys-and-values"),
        plugins={int(version): {"kv": KV()} for version in options.versions.split(",")},
        auto_mtls=not options.plaintext,
    )
    client = Client(ClientConfig(cmd=options.plugin, stderr_logger=stderr, **common))
    try:
        await client.start()  # leaves the plugin running when it fails
        # python-plugin 0.1.0 hears nothing from the plugin's broker unless the
        # host's own broker speaks at once, before anything else is awaited.
        store, id = Store(), client.broker.next_id()
        await client.broker.accept_and_serve(id, [store])
        kv, callback = client.dispense("kv")
        await use(kv)
        if options.broker:
            await call_back(client, kv, callback, store, id)
        else:
            await stream(kv)
        # This host never reads what a plugin prints, which holds some plugins up.
        for _ in range(64 if options.noise else 0):
            await kv.Say(kv_pb2.SayRequest(level=kv_pb2.SayRequest.LEVEL_WARN, text="noise " * 4096))
        await kv.Say(kv_pb2.SayRequest(level=kv_pb2.SayRequest.LEVEL_WARN, text=SPOKEN))
        await asyncio.wait_for(heard.spoken.wait(), 10)
        print("log: ok")
        if len(options.versions) > 1:
            got = await kv.Get(kv_pb2.GetRequest(key="version"))
            print(f"version: {client.negotiated_version}, {got.value.decode()}")
        if options.reattach:
            async with Client(ClientConfig(reattach=client.reattach_config(), **common)) as other:
                kv, _ = other.dispense("kv")
                assert (await kv.Get(kv_pb2.GetRequest(key="name"))).value == b"tenon"
            # It has asked the plugin to stop, too.
            await asyncio.to_thread(client._proc.wait, 10)
            print("reattach: ok")
    finally:
        await client.kill()
    print("exit status:", client._proc.returncode)


asyncio.run(main())
