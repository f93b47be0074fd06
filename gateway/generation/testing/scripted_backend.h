// For tests only: a coordinator and a worker in this process, on real gRPC, that do what a test tells them.
// By default a request is placed here (group g, epoch 1) and granted in full, and the worker answers nothing:
// a test sets `generate`. A Readmit is placed on the same group, unless it says that this very one failed.
// Script functions run on gRPC threads; they are set before the traffic that they serve.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "base/core/api_key.h"
#include "base/core/mutex.h"
#include "base/net/grpc.h"
#include "gateway/generation/testing/scripted_session.h"
#include "gateway/generation/testing/tiny_text.h"
#include "proto/coordinator.grpc.pb.h"
#include "proto/inference.grpc.pb.h"

namespace quire::gateway::testing {

class ScriptedBackend {
 public:
  explicit ScriptedBackend(const v1::TextBundle& bundle = TinyBundle());
  ~ScriptedBackend();

  using AdmitWriter = std::function<void(const v1::AdmitReply&)>;
  // Scripts; each has a default. A call runs a copy: a test may set the next script between two requests,
  // while the worker of the last one, whose client has its answer, is still sending.
  std::function<grpc::Status(const v1::AdmitRequest&, const AdmitWriter&)> admit;
  std::function<grpc::Status(const v1::GenerateRequest&, TokenWriter&)> generate;
  std::function<v1::ReadmitReply(const v1::ReadmitRequest&)> readmit;
  std::function<v1::ProgressResult(const v1::RequestProgress&)> progress;
  std::atomic<int> settles_to_refuse{0};
  // With what these end, in place of an answer; set like the scripts.
  grpc::Status readmit_ends, progress_ends;
  // The coordinator ends its Watch and says nothing on the next.
  std::atomic<bool> silent{false};
  // The text bundle of the model "other", where it is not that of "tiny".
  std::string other_bundle;
  // No group has registered yet: while it holds, Watch names no model.
  std::atomic<bool> models_hidden{false};
  // No group of the model "other" has.
  std::atomic<bool> other_hidden{false};
  // Groups have registered with other files: those of other_bundle are those of "tiny" from then on.
  std::atomic<bool> tiny_changed{false};
  // The coordinator knows the models and has lost their text bundles, until a group brings them.
  std::atomic<bool> bundles_lost{false};
  // Runs before other_bundle is sent; set like the scripts.
  std::function<void()> before_other_bundle = [] {};

  v1::AdmitReply Placement() const;
  // An answer to a Readmit: another epoch of the group here.
  v1::ReadmitReply Elsewhere(uint64_t epoch, const std::string& numerics_id = "") const;
  v1::AdmitReply Grant(uint64_t positions) const;
  static v1::AdmitReply Refusal(v1::RefusalReason reason, uint32_t retry_after_s = 0);

  const std::string& address() const { return address_; }
  const std::string& pepper() const { return pepper_; }
  const std::string& key() const { return key_.text; }

  // Waits for the n-th settled request (from 0); resends of one count once.
  v1::RequestSettle AwaitSettle(size_t n = 0);
  size_t settled() const;
  static uint64_t DeliveredOf(const v1::RequestSettle& settle);
  // The worker's sessions end, as they do when a group dies.
  void BreakSessions();

 private:
  class CoordinatorService;
  class InferenceService;

  // Of those that there are now, the ones beyond the first `sent`, which it adds to.
  void SendModels(grpc::ServerWriter<v1::WatchEvent>& writer, size_t& sent) const;
  void SendFacts(grpc::ServerContext& context, grpc::ServerWriter<v1::WatchEvent>& writer);
  // Whether the test ends; takes a moment.
  bool Closing();
  void RecordSettles(const v1::SettleRequest& request, v1::SettleReply& reply);

  const std::string pepper_ = std::string(64, 'a');  // as quire-gateway reads it from a file
  const NewApiKey key_ = GenerateApiKey(KeyKind::kApi);
  const std::string bundle_;
  mutable Mutex mutex_;
  std::vector<v1::RequestSettle> settles_ ABSL_GUARDED_BY(mutex_);  // in the order they came
  absl::flat_hash_set<std::string> settled_ids_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<ScriptedSession*> sessions_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<CoordinatorService> coordinator_;
  std::unique_ptr<InferenceService> inference_;
  GrpcServer server_;
  std::string address_;
};

}  // namespace quire::gateway::testing
