"use strict";
// A plugin in Node: a store of keys and values.
//
//	node plugin.js [--tcp]
//
// Hosts start it. --tcp serves on TCP.

const { X509Certificate } = require("node:crypto");
const grpc = require("@grpc/grpc-js");
const { HealthImplementation } = require("grpc-health-check");
const goplugin = require("./goplugin.js");

const { KV } = goplugin.load("kv.proto").tenon.kv.v1;
const { Callback } = goplugin.load("callback.proto").tenon.languages.v1;
const { GRPCBroker, GRPCController, GRPCStdio } = goplugin.load("plugin.proto").plugin;

/** Writes a line that hosts log at its level. */
function log(level, message) {
  const line = { "@level": level, "@message": message, "@module": "kv", "@timestamp": new Date().toISOString() };
  process.stderr.write(JSON.stringify(line) + "\n");
}

/** The store's methods, over values of its own. */
function store(say) {
  const values = new Map();
  const watchers = new Set();
  const changed = (kind, key, value) => {
    for (const { call, prefix } of watchers) if (key.startsWith(prefix)) call.write({ kind, key, value });
  };
  const put = ({ key, value }) => {
    const replaced = values.has(key);
    values.set(key, value);
    changed("KIND_PUT", key, value);
    return replaced;
  };
  const wrong = { code: grpc.status.INVALID_ARGUMENT, details: "the key is empty" };
  return {
    values,
    Put: ({ request }, done) => (request.key ? done(null, { replaced: put(request) }) : done(wrong)),
    Get: ({ request }, done) => {
      if (values.has(request.key)) return done(null, { value: values.get(request.key) });
      done({ code: grpc.status.NOT_FOUND, details: `there is no key "${request.key}"` });
    },
    Delete: ({ request }, done) => {
      const deleted = values.delete(request.key);
      if (deleted) changed("KIND_DELETED", request.key);
      done(null, { deleted });
    },
    Watch: (call) => {
      const watcher = { call, prefix: call.request.prefix };
      call.sendMetadata(new grpc.Metadata()); // the host knows that the watch has begun
      for (const key of [...values.keys()].sort()) {
        if (key.startsWith(watcher.prefix)) call.write({ kind: "KIND_PRESENT", key, value: values.get(key) });
      }
      watchers.add(watcher);
      call.on("cancelled", () => {
        watchers.delete(watcher);
        call.end();
      });
    },
    PutAll: (call, done) => {
      let stored = 0;
      call.on("data", (request) => {
        put(request);
        stored++;
      });
      call.on("end", () => done(null, { stored }));
    },
    GetAll: (call) => {
      call.on("data", ({ key }) => call.write({ key, ...(values.has(key) && { value: values.get(key) }) }));
      call.on("end", () => call.end());
    },
    Say: ({ request }, done) => {
      const level = request.level.replace("LEVEL_", "").toLowerCase();
      log(level === "unspecified" ? "info" : level, request.text);
      say(request.text + "\n");
      done(null, {});
    },
  };
}

/** Uses the broker both ways. */
function callback(broker, mine) {
  return {
    CallBack: async ({ request }, done) => {
      try {
        const host = await broker.dial(KV, request.host_store);
        await goplugin.unary(host, "Put")({ key: request.key, value: request.value });
        host.close();
        done(null, { plugin_store: await broker.serve([[KV, mine]]) });
      } catch (error) {
        done({ code: grpc.status.INTERNAL, details: String(error) });
      }
    },
  };
}

async function main() {
  for (const [key, value] of Object.entries(goplugin.COOKIE)) {
    if (process.env[key] !== value) {
      console.error("This program is a plugin. The program that it belongs to starts it.");
      process.exit(1);
    }
  }
  const tcp = process.argv.includes("--tcp");
  const host = process.env.PLUGIN_CLIENT_CERT;
  let own;
  if (host) {
    // The host's curve: one that its TLS library is sure to have.
    const { namedCurve } = new X509Certificate(host).publicKey.asymmetricKeyDetails;
    own = goplugin.identity(namedCurve === "prime256v1" ? "P-256" : "P-521");
  }
  const security = new goplugin.Security(own, host && Buffer.from(host));

  const unsent = []; // printed before the host listens
  let printed; // the stream that takes what is printed
  const say = (text) => {
    const chunk = { channel: "STDOUT", data: Buffer.from(text) };
    printed ? printed.write(chunk) : unsent.push(chunk);
  };
  const broker = new goplugin.Broker(security, tcp);
  const mine = store(say);
  const health = new HealthImplementation({ plugin: "SERVING", "": "SERVING" });
  const end = () => {
    broker.close();
    if (printed) printed.end();
    server.tryShutdown(() => process.exit(0));
    setTimeout(() => process.exit(0), 1000);
  };
  const { server, network, address } = await goplugin.serve(security, tcp, [
    [GRPCBroker, { StartStream: (call) => broker.attach(call.on("end", () => call.end())) }],
    [GRPCController, { Shutdown: (_, done) => { done(null, {}); setImmediate(end); } }],
    [GRPCStdio, { StreamStdio: (call) => { printed = call; unsent.forEach((chunk) => call.write(chunk)); } }],
    health,
    [KV, mine],
    [Callback, callback(broker, mine)],
  ]);
  process.on("SIGINT", () => {}); // an interrupt is for the host
  process.on("SIGTERM", end);
  process.stdout.write(`1|1|${network}|${address}|grpc|${own ? own.encoded : ""}\n`);
}

if (require.main === module) main();
module.exports = { store };
