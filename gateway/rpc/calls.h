// The gRPC side of rpc/: calls over the callback API, unary and server-streaming ones here, tracked so that a
// client's destructor can cancel what is under way and wait for the last callback. Included by .cc files of
// rpc/ only. Any thread.
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

// A call's context, until the call has ended. It holds its channel, and gRPC's callback queue goes with the
// last channel of the process: on one of the queue's own threads gRPC 1.51 then frees it twice. So a call
// gives its context up before its tracker lets the client go, which has the last word on another thread.
class CallContext {
 public:
  // What is set and handed to gRPC before the call starts.
  grpc::ClientContext& operator*() ABSL_NO_THREAD_SAFETY_ANALYSIS { return *context_; }

  void TryCancel() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (context_) context_->TryCancel();
  }
  void End() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    context_.reset();
  }

 private:
  Mutex mutex_;
  std::optional<grpc::ClientContext> context_ ABSL_GUARDED_BY(mutex_){std::in_place};
};

class TrackedCall {
 public:
  virtual ~TrackedCall() = default;
  virtual void Cancel() = 0;  // any thread
};

// The calls under way.
class CallTracker {
 public:
  ~CallTracker() { CancelAndWait(); }

  // False once closing: the call must not start.
  bool Add(TrackedCall* call) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (closing_) return false;
    open_.insert(call);
    return true;
  }
  void Remove(TrackedCall* call) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    open_.erase(call);
  }
  void CancelAndWait() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    closing_ = true;
    for (TrackedCall* call : open_) call->Cancel();
    mutex_.Await(absl::Condition(this, &CallTracker::Empty));
  }

 private:
  bool Empty() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return open_.empty(); }

  Mutex mutex_;
  absl::flat_hash_set<TrackedCall*> open_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

inline void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds after) {
  context.set_deadline(std::chrono::system_clock::now() + after);
}

template <typename Reply>
using UnaryDone = std::function<void(absl::StatusOr<Reply>)>;

// One request, one reply.
template <typename Request, typename Reply>
class UnaryCall final : public TrackedCall {
 public:
  explicit UnaryCall(const Request& request) : request(request) {}
  void Cancel() override { context.TryCancel(); }

  CallContext context;
  const Request request;
  Reply reply;
};

// Cancels its call when it goes.
template <typename Call>
class CallHandle final : public RpcCall {
 public:
  explicit CallHandle(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  ~CallHandle() override { call_->Cancel(); }

 private:
  const std::shared_ptr<Call> call_;
};

// `start(context, request, reply, on_done)` calls the stub's async method. Null if it could not start. The
// call runs to its end unless somebody makes a CallHandle of it.
template <typename Request, typename Reply, typename Start>
std::shared_ptr<UnaryCall<Request, Reply>> StartUnary(CallTracker& tracker, const Request& request,
                                                      std::chrono::milliseconds deadline,
                                                      UnaryDone<Reply> done, Start start) {
  auto call = std::make_shared<UnaryCall<Request, Reply>>(request);
  SetDeadline(*call->context, deadline);
  if (!tracker.Add(call.get())) {
    done(absl::CancelledError("the gateway is shutting down"));
    return nullptr;
  }
  start(&*call->context, &call->request, &call->reply,
        [call, &tracker, done = std::move(done)](const grpc::Status& status) {
          if (status.ok()) {
            done(std::move(call->reply));
          } else {
            done(FromGrpc(status));
          }
          call->context.End();
          tracker.Remove(call.get());
        });
  return call;
}

// One request, many replies; keeps itself alive until OnDone.
template <typename Reply>
class StreamCall final : public grpc::ClientReadReactor<Reply>, public TrackedCall {
 public:
  using OnReply = std::function<void(Reply)>;
  using OnEnd = std::function<void(absl::Status)>;

  StreamCall(CallTracker& tracker, OnReply on_reply, OnEnd on_end)
      : tracker_(tracker), on_reply_(std::move(on_reply)), on_end_(std::move(on_end)) {}

  grpc::ClientContext& context() { return *context_; }

  // After the stub's async method was called with this reactor.
  void Run(std::shared_ptr<StreamCall> self) {
    self_ = std::move(self);
    this->StartRead(&reply_);
    this->StartCall();
  }

  void Cancel() override { context_.TryCancel(); }

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
    context_.End();
    tracker_.Remove(this);
  }

 private:
  CallTracker& tracker_;
  CallContext context_;
  OnReply on_reply_;
  OnEnd on_end_;
  Reply reply_;
  std::shared_ptr<StreamCall> self_;
};

// `start(context, reactor)` calls the stub's async method. Without a deadline the stream lives until it
// breaks.
template <typename Reply, typename Start>
std::unique_ptr<RpcCall> StartStream(CallTracker& tracker, std::optional<std::chrono::milliseconds> deadline,
                                     typename StreamCall<Reply>::OnReply on_reply,
                                     typename StreamCall<Reply>::OnEnd on_end, Start start) {
  auto call = std::make_shared<StreamCall<Reply>>(tracker, std::move(on_reply), on_end);
  if (deadline) SetDeadline(call->context(), *deadline);
  if (!tracker.Add(call.get())) {
    on_end(absl::CancelledError("the gateway is shutting down"));
    return nullptr;
  }
  start(&call->context(), call.get());
  call->Run(call);
  return std::make_unique<CallHandle<StreamCall<Reply>>>(call);
}

}  // namespace quire::gateway
