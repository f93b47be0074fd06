// One open Generate call: engine updates in, replies out. Made and kept alive by GenerateService until gRPC
// is done with it; Take comes from the engine thread, Fail from any, the On... reactions from gRPC's threads.
// What always holds: one write at a time; what a slow reader has not taken is merged into one pending reply
// of at most kMaxUnreadTokens, past which the call ends with Aborted, to be resumed; Finish is called exactly
// once; a call that ends for whatever reason has its sequence cancelled.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>

#include "base/core/mutex.h"
#include "proto/inference.grpc.pb.h"
#include "worker/engine/engine.h"

namespace quire::worker {

class GenerateService;

class GenerateStream final : public grpc::ServerWriteReactor<v1::GenerateReply>,
                             public std::enable_shared_from_this<GenerateStream> {
 public:
  static constexpr int kMaxUnreadTokens = 4096;

  GenerateStream(GenerateService* service, Engine* engine, std::string numerics_id);

  // Submits the request, or fails the call.
  void Start(absl::StatusOr<GenerationRequest> request) ABSL_LOCKS_EXCLUDED(mutex_);
  // Sends an empty reply where nothing else was sent since the last beat.
  void Beat() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the call with `why`, after what is pending.
  void Fail(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Take(Update update) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Drops what is pending and ends with `why`.
  void Abort(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the next write, or Finish, unless one is under way.
  void Send() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  GenerateService* const service_;
  Engine* const engine_;
  const std::string numerics_id_;

  Mutex mutex_;
  uint64_t ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  // Pending, in the order in which it is sent.
  std::optional<int64_t> cached_tokens_ ABSL_GUARDED_BY(mutex_);
  v1::Tokens tokens_ ABSL_GUARDED_BY(mutex_);
  std::optional<v1::FinishReason> finished_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);

  v1::GenerateReply reply_;  // being written
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool sent_since_beat_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called
};

}  // namespace quire::worker
