#include "gateway/rpc/worker_client.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/core/mutex.h"
#include "gateway/rpc/calls.h"
#include "proto/inference.grpc.pb.h"

namespace quire::gateway {
namespace {

using Stub = std::shared_ptr<v1::Inference::Stub>;

}  // namespace

struct WorkerClient::Impl {
  absl::StatusOr<Stub> StubFor(const std::string& address) ABSL_LOCKS_EXCLUDED(mutex) {
    MutexLock lock(&mutex);
    Stub& stub = stubs[address];
    if (stub == nullptr) {
      auto channel = connect(address);
      if (!channel.ok()) {
        stubs.erase(address);
        return channel.status();
      }
      stub = v1::Inference::NewStub(*std::move(channel));
    }
    return stub;
  }

  // Addresses of dead groups would pile up otherwise: a restarted group has another port.
  void Forget(const std::string& address, const Stub& stub) ABSL_LOCKS_EXCLUDED(mutex) {
    MutexLock lock(&mutex);
    auto found = stubs.find(address);
    if (found == stubs.end() || found->second != stub) return;
    forgotten = std::move(found->second);
    stubs.erase(found);
  }

  Connect connect;
  Mutex mutex;
  absl::flat_hash_map<std::string, Stub> stubs ABSL_GUARDED_BY(mutex);
  Stub forgotten ABSL_GUARDED_BY(mutex);  // the last one: Forget runs where no last channel may go (calls.h)
  CallTracker tracker;                    // last: its destructor waits for callbacks, which use the rest
};

WorkerClient::WorkerClient(Connect connect) : impl_(std::make_unique<Impl>()) {
  impl_->connect = std::move(connect);
}

WorkerClient::~WorkerClient() = default;

std::unique_ptr<RpcCall> WorkerClient::Generate(const std::string& address,
                                                const v1::GenerateRequest& request,
                                                std::function<void(v1::GenerateReply)> on_reply,
                                                std::function<void(absl::Status)> on_end) {
  absl::StatusOr<Stub> stub = impl_->StubFor(address);
  if (!stub.ok()) {
    on_end(stub.status());
    return nullptr;
  }
  auto end = [impl = impl_.get(), address, stub = *stub,
              on_end = std::move(on_end)](const absl::Status& status) {
    if (absl::IsUnavailable(status)) impl->Forget(address, stub);
    on_end(status);
  };
  return StartStream<v1::GenerateReply>(
      impl_->tracker, {.deadline = {}, .window = kReadAhead}, std::move(on_reply), std::move(end),
      [&](auto* context, auto* reactor) { (*stub)->async()->Generate(context, &request, reactor); });
}

}  // namespace quire::gateway
