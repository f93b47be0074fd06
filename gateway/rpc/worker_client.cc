#include "gateway/rpc/worker_client.h"

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/core/mutex.h"
#include "gateway/rpc/calls.h"
#include "proto/inference.grpc.pb.h"

namespace quire::gateway {
namespace {

using Stub = std::shared_ptr<v1::Inference::Stub>;

struct Known {
  Stub stub;
  int64_t used_us = 0;  // by the last call
};

}  // namespace

struct WorkerClient::Impl {
  Impl(Connect connect, const Clock& clock) : connect(std::move(connect)), clock(clock) {}

  absl::StatusOr<Stub> StubFor(const std::string& address) ABSL_LOCKS_EXCLUDED(mutex) {
    std::vector<Stub> unused;  // go after the lock, on the caller's thread (calls.h)
    MutexLock lock(&mutex);
    unused = TakeUnused(address);
    Known& known = stubs[address];
    if (known.stub == nullptr) {
      auto channel = connect(address);
      if (!channel.ok()) {
        stubs.erase(address);
        return channel.status();
      }
      known.stub = v1::Inference::NewStub(*std::move(channel));
    }
    known.used_us = clock.NowUs();
    return known.stub;
  }

  // Of all but the wanted one: there are few, and nothing but a call is sure to come.
  std::vector<Stub> TakeUnused(const std::string& wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::vector<Stub> unused;
    const int64_t now_us = clock.NowUs();
    for (auto next = stubs.begin(); next != stubs.end();) {
      const auto found = next++;
      Known& known = found->second;
      if (known.stub.use_count() > 1) known.used_us = now_us;  // a call has it
      if (found->first == wanted || now_us - known.used_us < kUnusedAfterUs) continue;
      unused.push_back(std::move(known.stub));
      stubs.erase(found);
    }
    return unused;
  }

  // Nobody is there any more.
  void Forget(const std::string& address, const Stub& stub) ABSL_LOCKS_EXCLUDED(mutex) {
    MutexLock lock(&mutex);
    auto found = stubs.find(address);
    if (found == stubs.end() || found->second.stub != stub) return;
    forgotten = std::move(found->second.stub);
    stubs.erase(found);
  }

  const Connect connect;
  const Clock& clock;
  Mutex mutex;
  absl::flat_hash_map<std::string, Known> stubs ABSL_GUARDED_BY(mutex);
  Stub forgotten ABSL_GUARDED_BY(mutex);  // the last one: Forget runs where no last channel may go (calls.h)
  CallTracker tracker;                    // last: its destructor waits for callbacks, which use the rest
};

WorkerClient::WorkerClient(Connect connect, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(connect), clock)) {}

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
