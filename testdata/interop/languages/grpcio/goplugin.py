"""What plugins and hosts need besides gRPC: certificates and the broker."""

import base64
import datetime
import os
import queue
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import plugin_pb2

COOKIE = {"KV_PLUGIN": "keys-and-values"}
THREADS = 32  # each open stream takes one
PATIENCE = 5  # seconds to wait for the other side of the broker


class Identity:
    """A key, and a certificate that signs itself."""

    def __init__(self, curve=ec.SECP256R1()):
        key = ec.generate_private_key(curve)
        name = x509.Name([
            x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HashiCorp"),
        ])
        now = datetime.datetime.now(datetime.timezone.utc)
        usage = dict.fromkeys(["content_commitment", "data_encipherment", "crl_sign", "encipher_only", "decipher_only"], False)
        usage |= dict.fromkeys(["digital_signature", "key_encipherment", "key_agreement", "key_cert_sign"], True)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(),
                                    now - datetime.timedelta(seconds=30), now + datetime.timedelta(hours=262980))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .add_extension(x509.KeyUsage(**usage), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .sign(key, hashes.SHA512() if isinstance(curve, ec.SECP521R1) else hashes.SHA256())
        )
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.key = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption())

    def encoded(self):
        """The certificate as the handshake line has it, without padding."""
        return base64.b64encode(self.der).decode().rstrip("=")


def decoded(text):
    """The certificate in a handshake line, as PEM."""
    der = base64.b64decode(text + "=" * (-len(text) % 4))
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


class Security:
    """How one side serves and dials: in plaintext, or with both certificates."""

    def __init__(self, own=None, peer=None):
        self.own, self.peer = own, peer

    def listen(self, server, address):
        if not self.own:
            return server.add_insecure_port(address)
        credentials = grpc.ssl_server_credentials([(self.own.key, self.own.pem)], self.peer, require_client_auth=True)
        return server.add_secure_port(address, credentials)

    def dial(self, network, address):
        target = "unix:" + address if network == "unix" else address
        options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.use_local_subchannel_pool", 1)]
        if not self.own:
            return grpc.insecure_channel(target, options)
        options.append(("grpc.ssl_target_name_override", "localhost"))
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(self.peer, self.own.key, self.own.pem), options)


def serve(security, tcp, *register):
    """Starts a server, and returns it with its network and address."""
    server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.max_receive_message_length", 64 << 20)])
    for add in register:
        add(server)
    if tcp:
        port = security.listen(server, "127.0.0.1:0")
        network, address = "tcp", f"127.0.0.1:{port}"
    else:
        directory = os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or tempfile.gettempdir()
        network, address = "unix", os.path.join(directory, "plugin" + os.urandom(5).hex())
        security.listen(server, "unix:" + address)
    server.start()
    return server, network, address


class Broker:
    """Further connections, in either direction. Both sides have the same."""

    def __init__(self, security, tcp=False):
        self.security, self.tcp = security, tcp
        self.outgoing = queue.SimpleQueue()
        self.known = {}
        self.arrived = threading.Condition()
        self.last = 0
        self.servers = []

    def sent(self):
        """What is to be sent, until close."""
        return iter(self.outgoing.get, None)

    def received(self, infos):
        """Takes in what the other side sends."""
        for info in infos:
            with self.arrived:
                self.known[info.service_id] = info
                self.arrived.notify_all()

    def serve(self, *register):
        """Serves one brokered connection and returns its id."""
        with self.arrived:
            self.last += 1
            id = self.last
        server, network, address = serve(self.security, self.tcp, *register)
        self.servers.append(server)
        self.outgoing.put(plugin_pb2.ConnInfo(service_id=id, network=network, address=address))
        return id

    def dial(self, id):
        with self.arrived:
            if not self.arrived.wait_for(lambda: id in self.known, PATIENCE):
                raise TimeoutError(f"nothing is served under the id {id}")
            info = self.known.pop(id)
        return self.security.dial(info.network, info.address)

    def close(self):
        self.outgoing.put(None)
        for server in self.servers:
            server.stop(None)
