// Inference.Generate over the engine: translation, validation and the list of open calls. Owned by
// GroupServer; the engine outlives it, and it outlives the gRPC server. Any thread.
#pragma once

#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/core/mutex.h"
#include "worker/rpc/generate_stream.h"
#include "worker/rpc/served_model.h"

namespace quire::worker {

class GenerateService final : public v1::Inference::CallbackService {
 public:
  GenerateService(ServedModel model, uint64_t group_epoch, Engine* engine)
      : model_(std::move(model)), group_epoch_(group_epoch), engine_(engine) {}

  grpc::ServerWriteReactor<v1::GenerateReply>* Generate(grpc::CallbackServerContext* context,
                                                        const v1::GenerateRequest* request) override;
  // The group is well: every open call hears it, so that its reader can tell a long wait from a dead group.
  void Beat() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends every open call, and each later one, with `why`.
  void FailAll(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  // gRPC is done with the call.
  void Forget(GenerateStream* stream) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::vector<std::shared_ptr<GenerateStream>> Open() ABSL_LOCKS_EXCLUDED(mutex_);

  const ServedModel model_;
  const uint64_t group_epoch_;
  Engine* const engine_;
  Mutex mutex_;
  absl::flat_hash_map<GenerateStream*, std::shared_ptr<GenerateStream>> open_ ABSL_GUARDED_BY(mutex_);
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::worker
