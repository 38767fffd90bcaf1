#include "security.h"

#include <cstdlib>
#include <random>
#include <stdexcept>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace {

constexpr int kLimit = 64 << 20;  // bytes in a message

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* t) const { Free(t); }
};
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Buffer = std::unique_ptr<BIO, Freed<BIO, BIO_free_all>>;

template <typename T>
T* checked(T* t, const char* what) {
  if (t == nullptr) throw std::runtime_error(what);
  return t;
}

std::string contents(const Buffer& buffer) {
  char* data;
  long n = BIO_get_mem_data(buffer.get(), &data);
  return std::string(data, n);
}

// Makes a certificate that signs itself.
Certificate certify(EVP_PKEY* key, int bits) {
  Certificate made(checked(X509_new(), "no memory"));
  X509* c = made.get();
  X509_set_version(c, X509_VERSION_3);
  std::unique_ptr<BIGNUM, Freed<BIGNUM, BN_free>> serial(BN_new());
  BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY);
  BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(c));
  X509_gmtime_adj(X509_getm_notBefore(c), -30);
  X509_time_adj_ex(X509_getm_notAfter(c), 262980 / 24, 0, nullptr);
  X509_NAME* name = X509_get_subject_name(c);
  for (auto [field, value] : {std::pair("O", "HashiCorp"), std::pair("CN", "localhost")}) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, reinterpret_cast<const unsigned char*>(value), -1, -1, 0);
  }
  X509_set_issuer_name(c, name);
  X509_set_pubkey(c, key);
  X509V3_CTX context;
  X509V3_set_ctx(&context, c, c, nullptr, nullptr, 0);
  for (auto [kind, value] : {
           std::pair(NID_basic_constraints, "critical,CA:TRUE"),
           std::pair(NID_key_usage, "critical,digitalSignature,keyEncipherment,keyAgreement,keyCertSign"),
           std::pair(NID_ext_key_usage, "clientAuth,serverAuth"),
           std::pair(NID_subject_alt_name, "DNS:localhost"),
       }) {
    X509_EXTENSION* extension = checked(X509V3_EXT_conf_nid(nullptr, &context, kind, value), value);
    X509_add_ext(c, extension, -1);
    X509_EXTENSION_free(extension);
  }
  const EVP_MD* hash = bits == 256 ? EVP_sha256() : bits == 384 ? EVP_sha384() : EVP_sha512();
  if (X509_sign(c, key, hash) == 0) throw std::runtime_error("the certificate cannot be signed");
  return made;
}

std::string base64(X509* certificate) {
  unsigned char* der = nullptr;
  int n = i2d_X509(certificate, &der);
  std::string text(4 * ((n + 2) / 3) + 1, '\0');
  text.resize(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(&text[0]), der, n));
  OPENSSL_free(der);
  return text.substr(0, text.find('='));
}

std::string socketPath() {
  const char* directory = std::getenv("PLUGIN_UNIX_SOCKET_DIR");
  if (directory == nullptr || *directory == '\0') directory = std::getenv("TMPDIR");
  if (directory == nullptr || *directory == '\0') directory = "/tmp";
  return std::string(directory) + "/plugin" + std::to_string(std::random_device()());
}

}  // namespace

Security::Security(const std::string& pem, bool tcp) : tcp_(tcp), host_(pem) {
  if (pem.empty()) return;
  Buffer text(BIO_new_mem_buf(pem.data(), pem.size()));
  Certificate host(checked(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr), "PLUGIN_CLIENT_CERT is no certificate"));
  // The host's curve: one that its TLS library is sure to have.
  EVP_PKEY* hostKey = X509_get0_pubkey(host.get());
  int bits = hostKey != nullptr && EVP_PKEY_is_a(hostKey, "EC") ? EVP_PKEY_get_bits(hostKey) : 521;
  Key key(checked(EVP_EC_gen(("P-" + std::to_string(bits)).c_str()), "no key can be made on the curve of the host's"));
  Certificate own = certify(key.get(), bits);
  Buffer keyText(BIO_new(BIO_s_mem())), ownText(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(keyText.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  PEM_write_bio_X509(ownText.get(), own.get());
  key_ = contents(keyText);
  certificate_ = contents(ownText);
  encoded_ = base64(own.get());
}

Security::Listening Security::serve(const std::vector<grpc::Service*>& services) const {
  auto credentials = grpc::InsecureServerCredentials();
  if (!host_.empty()) {
    grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = host_;
    tls.pem_key_cert_pairs = {{key_, certificate_}};
    credentials = grpc::SslServerCredentials(tls);
  }
  std::string path = socketPath();
  int port = 0;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kLimit);
  builder.AddListeningPort(tcp_ ? "127.0.0.1:0" : "unix:" + path, credentials, &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server(checked(builder.BuildAndStart().release(), "the server does not start"));
  if (tcp_) return {std::move(server), "tcp", "127.0.0.1:" + std::to_string(port)};
  return {std::move(server), "unix", path};
}

std::shared_ptr<grpc::Channel> Security::dial(const std::string& network, const std::string& address) const {
  auto credentials = grpc::InsecureChannelCredentials();
  if (!host_.empty()) credentials = grpc::SslCredentials({host_, key_, certificate_});
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("localhost");
  arguments.SetMaxReceiveMessageSize(kLimit);
  return grpc::CreateCustomChannel(network == "unix" ? "unix:" + address : address, credentials, arguments);
}
