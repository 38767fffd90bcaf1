"use strict";
// A host in Node, for any plugin that serves the store.
//
//	node host.js [--plaintext] [--curve P-256] [--broker] PLUGIN [ARGUMENT...]
//
// It starts the plugin, uses it, stops it, and prints a line for each thing that
// went as it should.

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");
const goplugin = require("./goplugin.js");
const { store } = require("./plugin.js");

const { KV } = goplugin.load("kv.proto").tenon.kv.v1;
const { Callback } = goplugin.load("callback.proto").tenon.languages.v1;
const { GRPCBroker, GRPCController, GRPCStdio } = goplugin.load("plugin.proto").plugin;
const Health = grpc.makeGenericClientConstructor(require("grpc-health-check").service, "Health");

const SPOKEN = "hello from inside the plugin";

/** A running plugin. */
class Plugin {
  async start(command, own) {
    const environment = {
      ...process.env, ...goplugin.COOKIE,
      PLUGIN_PROTOCOL_VERSIONS: "1", PLUGIN_MIN_PORT: "10000", PLUGIN_MAX_PORT: "25000",
    };
    if (own) environment.PLUGIN_CLIENT_CERT = own.pem.toString();
    this.process = spawn(command[0], command.slice(1), { env: environment, stdio: ["inherit", "pipe", "pipe"] });
    this.ended = once(this.process, "exit");
    this.log = readline.createInterface({ input: this.process.stderr });
    const stdout = readline.createInterface({ input: this.process.stdout }); // is read to its end
    const [line] = await Promise.race([once(stdout, "line"), this.ended]);
    const [core, version, network, address, protocol, certificate] = String(line).trim().split("|");
    if (core !== "1" || version !== "1" || protocol !== "grpc") throw new Error(`no handshake but ${line}`);
    if (Boolean(certificate) !== Boolean(own)) throw new Error("only one side has a certificate");
    const peer = certificate && goplugin.pem(Buffer.from(certificate, "base64"));
    const security = new goplugin.Security(own, peer);
    this.client = (Service) => security.dial(Service, network, address);
    await goplugin.unary(this.client(Health), "check")({ service: "plugin" });
    this.broker = new goplugin.Broker(security);
    this.broker.attach(this.client(GRPCBroker).StartStream());
    this.printed = this.client(GRPCStdio).StreamStdio({});
    this.printed.on("error", () => {}); // the plugin is gone, or has no such service
    this.printed.pause();
  }

  /** Asks the plugin to end, and makes sure that it does. */
  async stop() {
    this.broker.close();
    this.printed.resume();
    const kill = setTimeout(() => this.process.kill("SIGKILL"), 5000);
    await goplugin.unary(this.client(GRPCController), "Shutdown")({}).catch((error) => {
      if (error.code !== grpc.status.UNAVAILABLE) throw error; // that is go-plugin's own answer
    });
    const [status, signal] = await this.ended;
    clearTimeout(kill);
    return signal || status;
  }
}

async function use(kv) {
  const put = await goplugin.unary(kv, "Put")({ key: "name", value: Buffer.from("tenon") });
  const get = goplugin.unary(kv, "Get");
  assert.equal(put.replaced, false);
  assert.equal((await get({ key: "name" })).value.toString(), "tenon");
  await assert.rejects(get({ key: "none" }), { code: grpc.status.NOT_FOUND, details: 'there is no key "none"' });
  const large = Buffer.alloc(6 << 20, "large");
  await goplugin.unary(kv, "Put")({ key: "large", value: large });
  assert.ok((await get({ key: "large" })).value.equals(large));
  console.log("put and get: ok");
}

async function stream(kv) {
  const stored = await new Promise((resolve, reject) => {
    const call = kv.PutAll((error, answer) => (error ? reject(error) : resolve(answer.stored)));
    for (let i = 0; i < 3; i++) call.write({ key: `many/${i}`, value: Buffer.from([i]) });
    call.end();
  });
  assert.equal(stored, 3);
  const watch = kv.Watch({ prefix: "many/" });
  const events = watch[Symbol.asyncIterator]();
  for (let i = 0; i < 3; i++) assert.equal((await events.next()).value.key, `many/${i}`);
  const call = kv.GetAll();
  call.write({ key: "many/1" });
  call.write({ key: "none" });
  call.end();
  const got = [];
  for await (const answer of call) got.push(answer);
  assert.deepEqual(got[0].value, Buffer.from([1]));
  assert.equal(got[1].value, undefined);
  assert.equal((await goplugin.unary(kv, "Delete")({ key: "many/2" })).deleted, true);
  assert.equal((await events.next()).value.kind, "KIND_DELETED");
  watch.on("error", () => {}); // it ends as cancelled
  watch.cancel();
  console.log("streams: ok");
}

/** Uses the broker both ways. */
async function callBack(plugin, kv) {
  const mine = store(() => {});
  const id = await plugin.broker.serve([[KV, mine]]);
  const answer = await goplugin.unary(plugin.client(Callback), "CallBack")(
    { host_store: id, key: "from", value: Buffer.from("the plugin") });
  assert.equal(mine.values.get("from").toString(), "the plugin");
  await goplugin.unary(kv, "Put")({ key: "by", value: Buffer.from("the main connection") });
  const theirs = await plugin.broker.dial(KV, answer.plugin_store);
  assert.equal((await goplugin.unary(theirs, "Get")({ key: "by" })).value.toString(), "the main connection");
  theirs.close();
  console.log("broker: ok");
}

async function main() {
  const options = { curve: "P-521" };
  const command = process.argv.slice(2);
  while (command.length && command[0].startsWith("--")) {
    const name = command.shift().slice(2);
    options[name] = name === "curve" ? command.shift() : true;
  }
  const plugin = new Plugin();
  try {
    await plugin.start(command, options.plaintext ? undefined : goplugin.identity(options.curve));
    const kv = plugin.client(KV);
    await use(kv);
    await (options.broker ? callBack(plugin, kv) : stream(kv));
    const heard = new Promise((resolve) => plugin.log.on("line", (line) => line.includes(SPOKEN) && resolve()));
    await goplugin.unary(kv, "Say")({ level: "LEVEL_WARN", text: SPOKEN });
    await heard;
    console.log("log: ok");
    const [chunk] = await once(plugin.printed.resume(), "data");
    assert.equal(chunk.data.toString(), SPOKEN + "\n");
    console.log("stdio: ok");
    console.log("exit status:", await plugin.stop());
  } catch (error) {
    console.error(error);
    plugin.process.kill("SIGKILL");
    process.exitCode = 1;
  }
  process.exit();
}

main();
