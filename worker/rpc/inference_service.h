// Inference.Serve over the engine: who may open a session, the list of those that are open, and whose updates
// are whose. Owned by GroupServer; the engine outlives it, and it outlives the gRPC server. Any thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/core/metrics.h"
#include "base/core/mutex.h"
#include "base/net/grpc.h"
#include "worker/grammar/compile_queue.h"
#include "worker/rpc/served_model.h"
#include "worker/rpc/session.h"

namespace quire::worker {

class InferenceService final : public v1::Inference::CallbackService {
 public:
  // `grammars` may be null: they are refused.
  InferenceService(ServedModel model, uint64_t group_epoch, size_t max_sessions,
                   std::shared_ptr<const GrammarCompiler> grammars, CompileLimits compile, Engine* engine,
                   Metrics& metrics)
      : model_(std::move(model)),
        group_epoch_(group_epoch),
        max_sessions_(max_sessions),
        engine_(engine),
        refusals_(metrics.Counter("quire_worker_refused_requests_total",
                                  "Requests of gateways that were refused at the door")) {
    if (grammars == nullptr) return;
    grammars_ = std::make_unique<CompileQueue>(std::move(grammars), model_.vocab, compile, metrics);
  }

  grpc::ServerBidiReactor<v1::GatewayFrame, v1::GroupFrame>* Serve(
      grpc::CallbackServerContext* context) override;
  // From here on gateways may open sessions; `secret` is what they show (base/net/caller_role.h). Again where
  // that is another.
  void Admit(const std::optional<ShownSecret>& secret) ABSL_LOCKS_EXCLUDED(mutex_);
  // What a step brought, to the sessions that it is for: the engine's sink.
  void Take(std::vector<Update> updates) ABSL_LOCKS_EXCLUDED(mutex_);
  // The group is well: every session hears it, so that its gateway can tell a long wait from a dead group.
  void Beat() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends every session, and each later one, with `why`.
  void FailAll(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, of each once its last request has ended.
  void CloseAll(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  // gRPC is done with the session.
  void Forget(uint64_t session) ABSL_LOCKS_EXCLUDED(mutex_);

  const ServedModel& model() const { return model_; }
  // But for its grammar.
  absl::StatusOr<std::shared_ptr<SharedRequest>> Validate(const v1::GenerateRequest& request) const;
  // For a request of the session: its Compiled is told. Of what Validate took.
  void Compile(const v1::Grammar& grammar, uint64_t session, uint64_t tag, const CompileQueue::Asker& asker);
  void CountRefusal() { refusals_.Increment(); }

 private:
  // Whether the caller may open a session, and there is room for one.
  absl::Status MayServe(const grpc::CallbackServerContext& context) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<Session> Find(uint64_t session) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<Session>> Open() ABSL_LOCKS_EXCLUDED(mutex_);

  const ServedModel model_;
  const uint64_t group_epoch_;
  const size_t max_sessions_;
  Engine* const engine_;
  prometheus::Counter& refusals_;
  Mutex mutex_;
  bool admits_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<ShownSecret> secret_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_session_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Session>> open_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<uint64_t> served_ ABSL_GUARDED_BY(mutex_);  // of these, but for those refused at once
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<CompileQueue> grammars_;  // last: what it compiled comes to a session
};

}  // namespace quire::worker
