// The gateway's session with one worker group: one Serve stream for all its requests there. Made by
// WorkerClient (the .cc files of rpc/ only include it) and kept alive by gRPC until OnDone. Any thread; a
// request's callback comes on one gRPC thread at a time.
// What always holds: tags are never used twice; each request that was submitted hears of its end once, last,
// unless it was aborted before; nothing is submitted once the group has said that it closes, or written once
// reading has ended; what comes is always read: the requests' credit bounds it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "base/core/clock.h"
#include "gateway/rpc/calls.h"
#include "proto/inference.grpc.pb.h"

namespace quire::gateway {

class GroupSession final : public grpc::ClientBidiReactor<v1::GatewayFrame, v1::GroupFrame>,
                           public TrackedCall {
 public:
  using Stub = std::shared_ptr<v1::Inference::Stub>;
  using OnUpdate = std::function<void(v1::RequestUpdate)>;
  // Called once, before requests hear of the end: the session takes no more of them. Takes the stub, since
  // this is no thread for a channel to end on (calls.h).
  using OnEnd = std::function<void(GroupSession*, Stub)>;

  GroupSession(CallTracker& tracker, const Clock& clock, Stub stub, OnEnd on_end);

  // Opens the stream.
  void Start(std::shared_ptr<GroupSession> self);

  // The request's tag, and the submission is gone; nothing where the session takes none any more, and then
  // `on_update` is not called.
  std::optional<uint64_t> Submit(v1::Submit& submission, const std::shared_ptr<OnUpdate>& on_update)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Grant(uint64_t tag, uint32_t tokens) ABSL_LOCKS_EXCLUDED(mutex_);
  // A callback that is already running may still be at it afterwards.
  void Abort(uint64_t tag) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of one choice of a request that goes on.
  void AbortChoice(uint64_t tag, uint32_t choice) ABSL_LOCKS_EXCLUDED(mutex_);
  // When the group said something last, if only a beat.
  int64_t heard_us() const { return heard_us_; }

  void Cancel() override { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  void HandOut();
  // Starts the next write, or the last, unless one is under way or there is nothing to say.
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  CallTracker& tracker_;
  const Clock& clock_;
  Stub stub_;
  OnEnd on_end_;
  CallContext context_;
  std::shared_ptr<GroupSession> self_;
  std::atomic<int64_t> heard_us_;
  v1::GroupFrame received_;
  v1::GatewayFrame sent_;  // by the write under way

  Mutex mutex_;
  absl::flat_hash_map<uint64_t, std::shared_ptr<OnUpdate>> requests_ ABSL_GUARDED_BY(mutex_);  // by tag
  uint64_t last_tag_ ABSL_GUARDED_BY(mutex_) = 0;
  // To be written: a frame takes one submission and all the rest.
  std::deque<v1::Submit> submissions_ ABSL_GUARDED_BY(mutex_);
  v1::GatewayFrame rest_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;  // this side ends once nothing is left to be written
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

// What a request hears at its end, whoever says it.
v1::RequestUpdate EndedWith(const absl::Status& status);

}  // namespace quire::gateway
