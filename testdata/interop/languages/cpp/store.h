// The application: a store of keys and values.

#pragma once

#include <chrono>
#include <condition_variable>
#include <iostream>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include "kv.grpc.pb.h"

// Writes a line that hosts log at its level.
inline void log(const std::string& level, const std::string& message) {
  using google::protobuf::util::TimeUtil;
  auto now = std::chrono::system_clock::now().time_since_epoch();
  auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  google::protobuf::Struct line;
  auto& fields = *line.mutable_fields();
  fields["@level"].set_string_value(level);
  fields["@message"].set_string_value(message);
  fields["@module"].set_string_value("kv");
  fields["@timestamp"].set_string_value(TimeUtil::ToString(TimeUtil::MicrosecondsToTimestamp(micros)));
  std::string json;
  if (google::protobuf::util::MessageToJsonString(line, &json).ok()) std::cerr << json + "\n";
}

class Store final : public tenon::kv::v1::KV::Service {
  using Event = tenon::kv::v1::WatchResponse;

  struct Watcher {
    std::string prefix;
    std::vector<Event> events;

    bool wants(const std::string& key) const { return key.compare(0, prefix.size(), prefix) == 0; }
    void tell(Event::Kind kind, const std::string& key, const std::string& value) {
      Event event;
      event.set_kind(kind);
      event.set_key(key);
      event.set_value(value);
      events.push_back(event);
    }
  };

  // How often a call that has nothing to do looks whether it is cancelled: gRPC
  // does not tell those that are written as functions.
  static constexpr std::chrono::milliseconds kLook{50};

  std::mutex mutex_;  // guards what follows
  std::condition_variable news_;
  std::map<std::string, std::string> values_;
  std::set<Watcher*> watchers_;

  void changed(Event::Kind kind, const std::string& key, const std::string& value) {
    for (Watcher* watcher : watchers_) {
      if (watcher->wants(key)) watcher->tell(kind, key, value);
    }
    news_.notify_all();
  }

  grpc::Status put(const tenon::kv::v1::PutRequest& request, bool* replaced) {
    if (request.key().empty()) return grpc::Status(grpc::INVALID_ARGUMENT, "the key is empty");
    std::lock_guard<std::mutex> lock(mutex_);
    *replaced = values_.count(request.key()) > 0;
    values_[request.key()] = request.value();
    changed(Event::KIND_PUT, request.key(), request.value());
    return grpc::Status::OK;
  }

  grpc::Status Put(grpc::ServerContext*, const tenon::kv::v1::PutRequest* request, tenon::kv::v1::PutResponse* answer) override {
    bool replaced = false;
    grpc::Status status = put(*request, &replaced);
    answer->set_replaced(replaced);
    return status;
  }

  grpc::Status Get(grpc::ServerContext*, const tenon::kv::v1::GetRequest* request, tenon::kv::v1::GetResponse* answer) override {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = values_.find(request->key());
    if (found == values_.end()) return grpc::Status(grpc::NOT_FOUND, "there is no key \"" + request->key() + "\"");
    answer->set_value(found->second);
    return grpc::Status::OK;
  }

  grpc::Status Delete(grpc::ServerContext*, const tenon::kv::v1::DeleteRequest* request,
                      tenon::kv::v1::DeleteResponse* answer) override {
    std::lock_guard<std::mutex> lock(mutex_);
    answer->set_deleted(values_.erase(request->key()) > 0);
    if (answer->deleted()) changed(Event::KIND_DELETED, request->key(), "");
    return grpc::Status::OK;
  }

  grpc::Status Watch(grpc::ServerContext* context, const tenon::kv::v1::WatchRequest* request,
                     grpc::ServerWriter<Event>* call) override {
    Watcher watcher{request->prefix(), {}};
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (const auto& [key, value] : values_) {
        if (watcher.wants(key)) watcher.tell(Event::KIND_PRESENT, key, value);
      }
      watchers_.insert(&watcher);
    }
    call->SendInitialMetadata();  // the host knows that the watch has begun
    while (!context->IsCancelled()) {
      std::vector<Event> events;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        news_.wait_for(lock, kLook, [&watcher] { return !watcher.events.empty(); });
        events.swap(watcher.events);
      }
      for (const Event& event : events) call->Write(event);
    }
    std::lock_guard<std::mutex> lock(mutex_);
    watchers_.erase(&watcher);
    return grpc::Status::CANCELLED;
  }

  grpc::Status PutAll(grpc::ServerContext*, grpc::ServerReader<tenon::kv::v1::PutRequest>* call,
                      tenon::kv::v1::PutAllResponse* answer) override {
    tenon::kv::v1::PutRequest request;
    while (call->Read(&request)) {
      bool replaced;
      grpc::Status status = put(request, &replaced);
      if (!status.ok()) return status;
      answer->set_stored(answer->stored() + 1);
    }
    return grpc::Status::OK;
  }

  grpc::Status GetAll(grpc::ServerContext*,
                      grpc::ServerReaderWriter<tenon::kv::v1::GetAllResponse, tenon::kv::v1::GetRequest>* call) override {
    tenon::kv::v1::GetRequest request;
    while (call->Read(&request)) {
      tenon::kv::v1::GetAllResponse answer;
      answer.set_key(request.key());
      {
        std::lock_guard<std::mutex> lock(mutex_);
        auto found = values_.find(request.key());
        if (found != values_.end()) answer.set_value(found->second);
      }
      call->Write(answer);
    }
    return grpc::Status::OK;
  }

  grpc::Status Say(grpc::ServerContext*, const tenon::kv::v1::SayRequest* request, tenon::kv::v1::SayResponse*) override {
    static const char* const levels[] = {"info", "debug", "info", "warn", "error"};
    bool known = tenon::kv::v1::SayRequest::Level_IsValid(request->level());
    log(levels[known ? request->level() : 0], request->text());
    std::cout << request->text() + "\n";
    return grpc::Status::OK;
  }
};
