// The services that every plugin has beside its own.

#pragma once

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stdexcept>
#include <streambuf>

#include "plugin.grpc.pb.h"
#include "security.h"

// Further connections, in either direction.
class Broker final : public plugin::GRPCBroker::Service {
 public:
  explicit Broker(const Security& security) : security_(security) {}

  // The host calls this once and keeps the stream, and again on a new connection.
  grpc::Status StartStream(grpc::ServerContext*, grpc::ServerReaderWriter<plugin::ConnInfo, plugin::ConnInfo>* host) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      host_ = host;
      news_.notify_all();
    }
    plugin::ConnInfo info;
    while (host->Read(&info)) {
      std::lock_guard<std::mutex> lock(mutex_);
      known_[info.service_id()] = info;
      news_.notify_all();
    }
    std::lock_guard<std::mutex> lock(mutex_);
    if (host_ == host) host_ = nullptr;
    return grpc::Status::OK;
  }

  // Serves one brokered connection and returns its id.
  uint32_t serve(const std::vector<grpc::Service*>& services) {
    Security::Listening listening = security_.serve(services);
    std::unique_lock<std::mutex> lock(mutex_);
    await(lock, [this] { return host_ != nullptr; });
    plugin::ConnInfo info;
    info.set_service_id(++last_);
    info.set_network(listening.network);
    info.set_address(listening.address);
    servers_.push_back(std::move(listening.server));
    host_->Write(info);
    return info.service_id();
  }

  // Connects to what the host serves under an id.
  std::shared_ptr<grpc::Channel> dial(uint32_t id) {
    std::unique_lock<std::mutex> lock(mutex_);
    await(lock, [this, id] { return known_.count(id) > 0; });
    plugin::ConnInfo info = known_[id];
    known_.erase(id);
    return security_.dial(info.network(), info.address());
  }

  // Stops the servers. Calls may go on until the deadline.
  void close(std::chrono::system_clock::time_point deadline) {
    std::vector<std::unique_ptr<grpc::Server>> servers;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      servers.swap(servers_);
    }
    for (const auto& server : servers) server->Shutdown(deadline);
  }

 private:
  template <typename Condition>
  void await(std::unique_lock<std::mutex>& lock, Condition condition) {
    if (!news_.wait_for(lock, std::chrono::seconds(5), condition)) throw std::runtime_error("the host does not answer");
  }

  const Security& security_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable news_;
  grpc::ServerReaderWriter<plugin::ConnInfo, plugin::ConnInfo>* host_ = nullptr;
  std::map<uint32_t, plugin::ConnInfo> known_;
  std::vector<std::unique_ptr<grpc::Server>> servers_;
  uint32_t last_ = 0;
};

// Sends the host what is printed to it: standard output is the handshake's.
class Stdio final : public plugin::GRPCStdio::Service, public std::streambuf {
 public:
  // The host calls this once, and again on a new connection.
  grpc::Status StreamStdio(grpc::ServerContext*, const google::protobuf::Empty*,
                           grpc::ServerWriter<plugin::StdioData>* host) override {
    plugin::StdioData chunk;
    chunk.set_channel(plugin::StdioData::STDOUT);
    std::unique_lock<std::mutex> lock(mutex_);
    host_ = host;
    news_.notify_all();
    while (true) {
      news_.wait(lock, [this, host] { return closed_ || host_ != host || !unsent_.empty(); });
      if (host_ != host || unsent_.empty()) return grpc::Status::OK;
      chunk.set_data(unsent_.substr(0, kChunk));
      unsent_.erase(0, kChunk);
      news_.notify_all();
      lock.unlock();
      bool written = host->Write(chunk);
      lock.lock();
      if (written) continue;
      if (host_ == host) host_ = nullptr;
      news_.notify_all();
      return grpc::Status::CANCELLED;
    }
  }

  void close() {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    news_.notify_all();
  }

 private:
  static constexpr size_t kChunk = 1 << 16;   // bytes that are sent at once
  static constexpr size_t kUnsent = 1 << 20;  // bytes that are kept, about: beyond that printing waits for the host

  // Not all hosts ask for what is printed. It is dropped then, beyond kUnsent.
  std::streamsize xsputn(const char* text, std::streamsize n) override {
    std::unique_lock<std::mutex> lock(mutex_);
    news_.wait(lock, [this] { return host_ == nullptr || closed_ || unsent_.size() < kUnsent; });
    if (unsent_.size() < kUnsent) unsent_.append(text, n);
    news_.notify_all();
    return n;
  }

  int overflow(int c) override {
    char byte = static_cast<char>(c);
    if (c != traits_type::eof()) xsputn(&byte, 1);
    return 0;
  }

  std::mutex mutex_;  // guards what follows
  std::condition_variable news_;
  std::string unsent_;
  grpc::ServerWriter<plugin::StdioData>* host_ = nullptr;
  bool closed_ = false;
};

// Ends the plugin, as SIGTERM does.
class Controller final : public plugin::GRPCController::Service {
  grpc::Status Shutdown(grpc::ServerContext*, const plugin::Empty*, plugin::Empty*) override {
    kill(getpid(), SIGTERM);
    return grpc::Status::OK;
  }
};
