package kv;

import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.UUID;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/**
 * How the plugin serves and dials: in plaintext, or with its own certificate and the host's. Then
 * each side trusts the other's certificate and no other.
 */
final class Security {
  private static final int LIMIT = 64 << 20; // bytes in a message

  // Warns of every unix socket that it has no SO_KEEPALIVE.
  private static final Logger NETTY = Logger.getLogger("io.netty.bootstrap");

  static {
    NETTY.setLevel(Level.SEVERE);
  }

  private final EventLoopGroup threads =
      new MultiThreadIoEventLoopGroup(new DefaultThreadFactory("io", true), NioIoHandler.newFactory());
  private final boolean tcp;
  private final PrivateKey key; // null in plaintext, as both certificates
  private final X509Certificate own;
  private final X509Certificate host;

  /**
   * @param pem the host's certificate; null or empty if it wants plaintext
   * @param tcp to serve on TCP, not on unix sockets
   */
  Security(String pem, boolean tcp) throws Exception {
    this.tcp = tcp;
    if (pem == null || pem.isEmpty()) {
      key = null;
      own = host = null;
      return;
    }
    var bytes = new ByteArrayInputStream(pem.getBytes(StandardCharsets.US_ASCII));
    host = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(bytes);
    // The host's curve: one that its TLS library is sure to have.
    int bits = host.getPublicKey() instanceof ECPublicKey k ? k.getParams().getCurve().getField().getFieldSize() : 521;
    var generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp" + bits + "r1"));
    KeyPair pair = generator.generateKeyPair();
    key = pair.getPrivate();
    own = certificate(pair, bits);
  }

  /** Makes a certificate that signs itself. */
  private static X509Certificate certificate(KeyPair pair, int bits) throws Exception {
    var name = new X500Name("O=HashiCorp,CN=localhost");
    var now = Instant.now();
    var from = Date.from(now.minusSeconds(30));
    var to = Date.from(now.plus(Duration.ofHours(262980)));
    var usage = new KeyUsage(
        KeyUsage.digitalSignature | KeyUsage.keyEncipherment | KeyUsage.keyAgreement | KeyUsage.keyCertSign);
    var purposes = new KeyPurposeId[] {KeyPurposeId.id_kp_clientAuth, KeyPurposeId.id_kp_serverAuth};
    var serial = new BigInteger(127, new SecureRandom()).add(BigInteger.ONE);
    var builder = new JcaX509v3CertificateBuilder(name, serial, from, to, name, pair.getPublic())
        .addExtension(Extension.basicConstraints, true, new BasicConstraints(true))
        .addExtension(Extension.keyUsage, true, usage)
        .addExtension(Extension.extendedKeyUsage, false, new ExtendedKeyUsage(purposes))
        .addExtension(Extension.subjectAlternativeName, false,
            new GeneralNames(new GeneralName(GeneralName.dNSName, "localhost")));
    String hash = bits == 256 ? "SHA256" : bits == 384 ? "SHA384" : "SHA512";
    var signer = new JcaContentSignerBuilder(hash + "withECDSA").build(pair.getPrivate());
    return new JcaX509CertificateConverter().getCertificate(builder.build(signer));
  }

  /** The plugin's certificate as the handshake line has it: base64 without padding. */
  String encoded() throws GeneralSecurityException {
    return own == null ? "" : Base64.getEncoder().withoutPadding().encodeToString(own.getEncoded());
  }

  /** A server that runs, and where. */
  record Listening(Server server, String network, String address) {}

  Listening serve(ServerServiceDefinition... services) throws IOException {
    SocketAddress wanted = tcp ? new InetSocketAddress(InetAddress.getLoopbackAddress(), 0) : UnixDomainSocketAddress.of(socket());
    var builder = NettyServerBuilder.forAddress(wanted)
        .channelType(tcp ? NioServerSocketChannel.class : NioServerDomainSocketChannel.class)
        .bossEventLoopGroup(threads)
        .workerEventLoopGroup(threads)
        .maxInboundMessageSize(LIMIT);
    if (own != null) {
      var tls = SslContextBuilder.forServer(key, own).trustManager(host).clientAuth(ClientAuth.REQUIRE);
      builder.sslContext(GrpcSslContexts.configure(tls, SslProvider.JDK).build());
    }
    for (var service : services) {
      builder.addService(service);
    }
    var server = builder.build().start();
    if (tcp) {
      return new Listening(server, "tcp", "127.0.0.1:" + server.getPort());
    }
    return new Listening(server, "unix", wanted.toString());
  }

  private static Path socket() {
    String directory = System.getenv("PLUGIN_UNIX_SOCKET_DIR");
    if (directory == null || directory.isEmpty()) {
      directory = System.getProperty("java.io.tmpdir");
    }
    var path = Path.of(directory, "plugin" + UUID.randomUUID().toString().substring(0, 8));
    path.toFile().deleteOnExit();
    return path;
  }

  private static SocketAddress target(String network, String address) {
    if (network.equals("unix")) {
      return UnixDomainSocketAddress.of(address);
    }
    var uri = URI.create("tcp://" + address);
    return new InetSocketAddress(uri.getHost(), uri.getPort());
  }

  ManagedChannel dial(String network, String address) throws IOException {
    var builder = NettyChannelBuilder.forAddress(target(network, address))
        .channelType(network.equals("unix") ? NioDomainSocketChannel.class : NioSocketChannel.class)
        .eventLoopGroup(threads)
        .overrideAuthority("localhost")
        .maxInboundMessageSize(LIMIT);
    if (own == null) {
      return builder.usePlaintext().build();
    }
    var tls = SslContextBuilder.forClient().keyManager(key, own).trustManager(host);
    return builder.sslContext(GrpcSslContexts.configure(tls, SslProvider.JDK).build()).build();
  }
}
