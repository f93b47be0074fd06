// One Register stream to the coordinator: says who the group is, sends the text bundle if it is wanted, and
// then stays open, since its end is the group's end to the coordinator and the other way round. Owned by
// CoordinatorLink's thread, which alone calls the public functions; the reactions come from gRPC's threads.
#pragma once

#include <grpcpp/grpcpp.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/core/mutex.h"
#include "base/net/caller_role.h"
#include "proto/coordinator.grpc.pb.h"

namespace quire::worker {

// By which the coordinator knows a worker of its own where there is no TLS. Empty: nothing is added.
inline void AddWorkerSecret(const std::string& secret, grpc::ClientContext* context) {
  if (!secret.empty()) context->AddMetadata(kWorkerSecretKey, secret);
}

class Registration final : public grpc::ClientBidiReactor<v1::RegisterRequest, v1::RegisterReply> {
 public:
  // Starts the call. `bundle` (a serialized TextBundle) outlives this.
  Registration(v1::Coordinator::Stub* stub, const v1::GroupInfo& group, const std::string& bundle,
               const std::string& secret);
  ~Registration() override;  // cancels the call and waits for its end

  // What the coordinator said as it accepted; else why not.
  absl::StatusOr<v1::RegisterAccepted> AwaitAccepted() ABSL_LOCKS_EXCLUDED(mutex_);
  // True if the stream ended before `timeout` and before anybody called Hurry.
  bool AwaitEnd(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the wait in AwaitEnd, or the next one; any thread.
  void Hurry() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the call, from any thread.
  void Cancel() { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void SendChunk() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string& bundle_;
  grpc::ClientContext context_;
  v1::RegisterRequest request_;
  v1::RegisterReply reply_;
  Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = true;
  bool hurried_ ABSL_GUARDED_BY(mutex_) = false;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;  // the bundle, from offset_ on
  size_t offset_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<v1::RegisterAccepted> accepted_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> done_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::worker
