"use strict";
// What plugins and hosts need besides gRPC: certificates and the broker.

const crypto = require("node:crypto");
const os = require("node:os");
const path = require("node:path");
const { once, EventEmitter } = require("node:events");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const COOKIE = { KV_PLUGIN: "keys-and-values" };
const PATIENCE = 5000; // milliseconds to wait for the other side of the broker
const LIMITS = { "grpc.max_receive_message_length": 64 << 20, "grpc.max_send_message_length": 64 << 20 };

/** Loads the services of the .proto files beside this file. */
function load(...files) {
  const definition = loader.loadSync(files, { includeDirs: [__dirname], keepCase: true, longs: Number, enums: String, defaults: true });
  return grpc.loadPackageDefinition(definition);
}

// DER, as far as certificates need it.
function der(tag, ...parts) {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const n = body.length;
  const length = n < 128 ? [n] : n < 256 ? [0x81, n] : [0x82, n >> 8, n & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}
const sequence = (...parts) => der(0x30, ...parts);
const oid = (hex) => der(0x06, Buffer.from(hex, "hex"));
const extension = (id, value, critical) => sequence(oid(id), critical ? der(0x01, [255]) : [], der(0x04, value));

const CURVES = {
  "P-256": { name: "P-256", hash: "sha256", signature: "2a8648ce3d040302" },
  "P-521": { name: "P-521", hash: "sha512", signature: "2a8648ce3d040304" },
};

/** Makes a key, and a certificate that signs itself. */
function identity(curveName) {
  const curve = CURVES[curveName];
  const { privateKey, publicKey } = crypto.generateKeyPairSync("ec", { namedCurve: curve.name });
  const name = sequence(
    der(0x31, sequence(oid("55040a"), der(0x0c, Buffer.from("HashiCorp")))),
    der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from("localhost")))),
  );
  const time = (date) => der(0x18, Buffer.from(date.toISOString().replace(/[-:T]|\.\d+/g, "")));
  const algorithm = sequence(oid(curve.signature));
  const serial = crypto.randomBytes(16);
  serial[0] = (serial[0] & 0x7f) | 0x40; // positive, and no leading zero
  const body = sequence(
    der(0xa0, der(0x02, [2])), // version 3
    der(0x02, serial),
    algorithm,
    name,
    sequence(time(new Date(Date.now() - 30e3)), time(new Date(Date.now() + 262980 * 3600e3))),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(
      extension("551d0f", der(0x03, [2, 0b10101100])), // signs, enciphers and agrees on keys, signs certificates
      extension("551d25", sequence(oid("2b06010505070302"), oid("2b06010505070301"))), // client and server
      extension("551d13", sequence(der(0x01, [255])), true), // an authority: its own
      extension("551d11", sequence(der(0x82, Buffer.from("localhost")))),
    )),
  );
  const certificate = sequence(body, algorithm, der(0x03, [0], crypto.sign(curve.hash, body, privateKey)));
  return {
    pem: pem(certificate),
    key: Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" })),
    encoded: certificate.toString("base64").replace(/=+$/, ""), // as the handshake line has it
  };
}

/** Returns a certificate as PEM. */
function pem(certificate) {
  const lines = certificate.toString("base64").match(/.{1,64}/g).join("\n");
  return Buffer.from(`-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`);
}

/** How one side serves and dials: in plaintext, or with both certificates. */
class Security {
  constructor(own, peer) {
    this.own = own;
    this.peer = peer;
  }

  server() {
    if (!this.own) return grpc.ServerCredentials.createInsecure();
    return grpc.ServerCredentials.createSsl(this.peer, [{ private_key: this.own.key, cert_chain: this.own.pem }], true);
  }

  /** Returns the client of a service. */
  dial(Service, network, address) {
    const target = network === "unix" ? "unix:" + address : address;
    if (!this.own) return new Service(target, grpc.credentials.createInsecure(), LIMITS);
    const credentials = grpc.credentials.createSsl(this.peer, this.own.key, this.own.pem);
    return new Service(target, credentials, { ...LIMITS, "grpc.ssl_target_name_override": "localhost" });
  }
}

/** Starts a server. A service is a pair of a service and its implementation, or adds itself. */
async function serve(security, tcp, services) {
  const server = new grpc.Server(LIMITS);
  for (const service of services) {
    if (service.addToServer) service.addToServer(server);
    else server.addService(service[0].service, service[1]);
  }
  const directory = process.env.PLUGIN_UNIX_SOCKET_DIR || os.tmpdir();
  const socket = path.join(directory, "plugin" + crypto.randomBytes(5).toString("hex"));
  const bind = (address) => new Promise((resolve, reject) => {
    server.bindAsync(address, security.server(), (error, port) => (error ? reject(error) : resolve(port)));
  });
  if (!tcp) {
    await bind("unix:" + socket);
    return { server, network: "unix", address: socket };
  }
  const port = await bind("127.0.0.1:0");
  return { server, network: "tcp", address: "127.0.0.1:" + port };
}

/** Further connections, in either direction. Both sides have the same. */
class Broker {
  constructor(security, tcp) {
    this.security = security;
    this.tcp = tcp;
    this.known = new Map();
    this.arrived = new EventEmitter();
    this.servers = [];
    this.last = 0;
    this.ready = new Promise((resolve) => (this.attach = resolve)); // attach is called with the stream
    this.ready.then((stream) => {
      stream.on("data", (info) => {
        this.known.set(info.service_id, info);
        this.arrived.emit(info.service_id);
      });
      stream.on("error", () => {}); // the other side is gone
    });
  }

  /** Serves one brokered connection and returns its id. */
  async serve(services) {
    const id = ++this.last;
    const { server, network, address } = await serve(this.security, this.tcp, services);
    this.servers.push(server);
    (await this.ready).write({ service_id: id, network, address });
    return id;
  }

  async dial(Service, id) {
    if (!this.known.has(id)) await once(this.arrived, id, { signal: AbortSignal.timeout(PATIENCE) });
    const { network, address } = this.known.get(id);
    this.known.delete(id);
    return this.security.dial(Service, network, address);
  }

  close() {
    for (const server of this.servers) server.forceShutdown();
    this.ready.then((stream) => stream.end());
  }
}

/** Returns a function that makes a unary call of a client. */
function unary(client, method) {
  return (request) => new Promise((resolve, reject) => {
    client[method](request, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

module.exports = { COOKIE, Broker, CURVES, Security, identity, load, pem, serve, unary };
