// A plugin in C++: a store of keys and values.
//
//	plugin [--tcp]
//
// Hosts start it. --tcp serves on TCP.

#include <cstdlib>
#include <cstring>
#include <iostream>


#include "callback.grpc.pb.h"
#include "control.h"
#include "store.h"

namespace {

constexpr std::chrono::seconds kAnswer{20};   // for the host, when the plugin calls it
constexpr std::chrono::seconds kPatience{1};  // for calls to end, when the plugin is to

// Uses the broker both ways.
class Callback final : public tenon::languages::v1::Callback::Service {
 public:
  Callback(Broker& broker, Store& store) : broker_(broker), store_(store) {}

 private:
  grpc::Status CallBack(grpc::ServerContext*, const tenon::languages::v1::CallBackRequest* request,
                        tenon::languages::v1::CallBackResponse* answer) override {
    try {
      auto host = tenon::kv::v1::KV::NewStub(broker_.dial(request->host_store()));
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + kAnswer);
      tenon::kv::v1::PutRequest put;
      tenon::kv::v1::PutResponse done;
      put.set_key(request->key());
      put.set_value(request->value());
      grpc::Status status = host->Put(&context, put, &done);
      if (status.ok()) answer->set_plugin_store(broker_.serve({&store_}));
      return status;
    } catch (const std::exception& e) {
      return grpc::Status(grpc::INTERNAL, e.what());
    }
  }

  Broker& broker_;
  Store& store_;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

[[noreturn]] void run(bool tcp) {
  // Set before there are threads: they all leave SIGTERM to sigwait.
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &end, nullptr);
  signal(SIGINT, SIG_IGN);  // an interrupt is for the host

  Security security(environment("PLUGIN_CLIENT_CERT"), tcp);
  Store store;
  Stdio stdio;
  Controller controller;
  Broker broker(security);
  Callback callback(broker, store);
  grpc::EnableDefaultHealthCheckService(true);
  Security::Listening listening = security.serve({&broker, &controller, &stdio, &store, &callback});
  listening.server->GetHealthCheckService()->SetServingStatus("plugin", true);
  std::cout << "1|1|" << listening.network << "|" << listening.address << "|grpc|" << security.encoded() << std::endl;
  std::streambuf* output = std::cout.rdbuf(&stdio);

  int got;
  sigwait(&end, &got);
  auto deadline = std::chrono::system_clock::now() + kPatience;
  stdio.close();
  broker.close(deadline);
  listening.server->Shutdown(deadline);
  std::cout.rdbuf(output);
  std::quick_exit(0);  // all calls are over, and gRPC's own clean-up may take ten seconds
}

}  // namespace

int main(int argc, char** argv) {
  if (environment("KV_PLUGIN") != "keys-and-values") {
    std::cerr << "This program is a plugin. The program that it belongs to starts it.\n";
    return 1;
  }
  try {
    run(argc > 1 && std::strcmp(argv[1], "--tcp") == 0);
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
  }
  return 1;
}
