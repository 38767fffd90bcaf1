// How a plugin serves and dials: in plaintext, or with its own certificate and
// the host's. Then each side trusts the other's certificate and no other.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

class Security {
 public:
  // pem is the host's certificate, empty if it wants plaintext. With tcp
  // everything is served on TCP, not on unix sockets.
  Security(const std::string& pem, bool tcp);

  // A server that runs, and where.
  struct Listening {
    std::unique_ptr<grpc::Server> server;
    std::string network, address;
  };
  Listening serve(const std::vector<grpc::Service*>& services) const;

  std::shared_ptr<grpc::Channel> dial(const std::string& network, const std::string& address) const;

  // The plugin's certificate as the handshake line has it: base64 without
  // padding. Empty in plaintext.
  const std::string& encoded() const { return encoded_; }

 private:
  bool tcp_;
  std::string host_, key_, certificate_;  // PEM; empty in plaintext
  std::string encoded_;
};
