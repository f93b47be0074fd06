// The gRPC side of rpc/: unary and server-streaming calls over the callback API, tracked so that a client's
// destructor can cancel what is under way and wait for the last callback. Included by .cc files of rpc/ only.
// Any thread.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_callback.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "base/core/mutex.h"
#include "base/net/grpc.h"
#include "gateway/rpc/rpc_call.h"

namespace quire::gateway {

// The contexts of the calls under way.
class CallTracker {
 public:
  ~CallTracker() { CancelAndWait(); }

  // False once closing: the call must not start.
  bool Add(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (closing_) return false;
    open_.insert(context);
    return true;
  }
  void Remove(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    open_.erase(context);
  }
  void CancelAndWait() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    closing_ = true;
    for (grpc::ClientContext* context : open_) context->TryCancel();
    mutex_.Await(absl::Condition(this, &CallTracker::Empty));
  }

 private:
  bool Empty() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return open_.empty(); }

  Mutex mutex_;
  absl::flat_hash_set<grpc::ClientContext*> open_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

inline void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds after) {
  context.set_deadline(std::chrono::system_clock::now() + after);
}

template <typename Reply>
using UnaryDone = std::function<void(absl::StatusOr<Reply>)>;

// One request, one reply. `start(context, request, reply, on_done)` calls the stub's async method.
template <typename Request, typename Reply, typename Start>
void StartUnary(CallTracker& tracker, const Request& request, std::chrono::milliseconds deadline,
                UnaryDone<Reply> done, Start start) {
  struct Call {
    grpc::ClientContext context;
    Request request;
    Reply reply;
  };
  auto call = std::make_shared<Call>();
  call->request = request;
  SetDeadline(call->context, deadline);
  if (!tracker.Add(&call->context)) return done(absl::CancelledError("the gateway is shutting down"));
  start(&call->context, &call->request, &call->reply,
        [call, &tracker, done = std::move(done)](const grpc::Status& status) {
          if (status.ok()) {
            done(std::move(call->reply));
          } else {
            done(FromGrpc(status));
          }
          tracker.Remove(&call->context);
        });
}

// One request, many replies; keeps itself alive until OnDone.
template <typename Reply>
class StreamCall final : public grpc::ClientReadReactor<Reply> {
 public:
  using OnReply = std::function<void(Reply)>;
  using OnEnd = std::function<void(absl::Status)>;

  StreamCall(CallTracker& tracker, OnReply on_reply, OnEnd on_end)
      : tracker_(tracker), on_reply_(std::move(on_reply)), on_end_(std::move(on_end)) {}

  grpc::ClientContext& context() { return context_; }

  // After the stub's async method was called with this reactor.
  void Run(std::shared_ptr<StreamCall> self) {
    self_ = std::move(self);
    this->StartRead(&reply_);
    this->StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    on_reply_(std::exchange(reply_, Reply()));
    this->StartRead(&reply_);
  }

  void OnDone(const grpc::Status& status) override {
    auto self = std::move(self_);
    on_end_(FromGrpc(status));
    on_reply_ = nullptr;  // what the callbacks own goes with them, even while a handle is still held
    on_end_ = nullptr;
    tracker_.Remove(&context_);
  }

 private:
  CallTracker& tracker_;
  grpc::ClientContext context_;
  OnReply on_reply_;
  OnEnd on_end_;
  Reply reply_;
  std::shared_ptr<StreamCall> self_;
};

template <typename Reply>
class StreamHandle final : public RpcCall {
 public:
  explicit StreamHandle(std::shared_ptr<StreamCall<Reply>> call) : call_(std::move(call)) {}
  ~StreamHandle() override { call_->context().TryCancel(); }

 private:
  std::shared_ptr<StreamCall<Reply>> call_;
};

// `start(context, reactor)` calls the stub's async method; nullopt deadline: the stream lives until it
// breaks.
template <typename Reply, typename Start>
std::unique_ptr<RpcCall> StartStream(CallTracker& tracker, std::optional<std::chrono::milliseconds> deadline,
                                     typename StreamCall<Reply>::OnReply on_reply,
                                     typename StreamCall<Reply>::OnEnd on_end, Start start) {
  auto call = std::make_shared<StreamCall<Reply>>(tracker, std::move(on_reply), on_end);
  if (deadline) SetDeadline(call->context(), *deadline);
  if (!tracker.Add(&call->context())) {
    on_end(absl::CancelledError("the gateway is shutting down"));
    return nullptr;
  }
  start(&call->context(), call.get());
  call->Run(call);
  return std::make_unique<StreamHandle<Reply>>(call);
}

}  // namespace quire::gateway
