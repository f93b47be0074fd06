// quire-bench-backend: what a gateway needs behind it, at no cost worth speaking of: a scripted coordinator
// that admits everything, with a first grant of the real one's size, so that the gateway asks for as many
// extensions, and a worker group that answers Generate with --interval-us between tokens (0 = at once).
// Writes DIR/pepper, prints {"coordinator","key","model"}, serves until SIGTERM. For bench_gateway.py.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/mutex.h"
#include "base/core/options.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "base/net/grpc.h"
#include "gateway/generation/testing/scripted_backend.h"
#include "proto/inference.grpc.pb.h"
#include "tests/bench/pacer.h"

namespace quire::bench {
namespace {

constexpr uint64_t kFirstGrant = 256;  // the ledger's (docs/LEDGER.md, R3)

// One Generate call: a token per tick (or as fast as they are taken), then the end. gRPC deletes it at its
// end, through the share that it holds of itself; the pacer holds another.
class MockStream final : public grpc::ServerWriteReactor<v1::GenerateReply>,
                         public std::enable_shared_from_this<MockStream> {
 public:
  explicit MockStream(uint32_t tokens) : tokens_(tokens) {}

  // `pacer` is null where tokens come at once.
  void Begin(Pacer* pacer) {
    self_ = shared_from_this();
    if (pacer == nullptr) {
      MutexLock lock(&mutex_);
      due_ = tokens_;
    } else {
      pacer->Add([stream = shared_from_this()] { return stream->OnTick(); });
    }
    reply_.mutable_accepted();
    StartWrite(&reply_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) return End();
    WriteNext();
  }
  void OnCancel() override {
    MutexLock lock(&mutex_);
    End();
  }
  void OnDone() override { self_.reset(); }

 private:
  bool OnTick() {
    MutexLock lock(&mutex_);
    if (++due_ <= tokens_ && !writing_) WriteNext();
    return due_ < tokens_ && !ended_;
  }

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (finished_) return End();
    if (ended_ || (written_ == due_ && written_ < tokens_)) return;  // the next tick goes on
    reply_.Clear();
    if (written_ < tokens_) {
      reply_.mutable_tokens()->set_first_position(written_++);
      reply_.mutable_tokens()->add_ids('a' + static_cast<int>(written_ % 26));
    } else {
      finished_ = true;
      reply_.mutable_finished()->set_reason(v1::FINISH_LENGTH);
    }
    writing_ = true;
    StartWrite(&reply_);
  }

  void End() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!std::exchange(ended_, true)) Finish(grpc::Status::OK);
  }

  const uint32_t tokens_;
  std::shared_ptr<MockStream> self_;
  Mutex mutex_;
  v1::GenerateReply reply_;  // the write under way
  uint32_t due_ ABSL_GUARDED_BY(mutex_) = 0, written_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = true, finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

class MockInference final : public v1::Inference::CallbackService {
 public:
  explicit MockInference(Pacer* pacer) : pacer_(pacer) {}

  grpc::ServerWriteReactor<v1::GenerateReply>* Generate(grpc::CallbackServerContext*,
                                                        const v1::GenerateRequest* request) override {
    const auto stream = std::make_shared<MockStream>(request->max_tokens());
    stream->Begin(pacer_);
    return stream.get();
  }

 private:
  Pacer* const pacer_;
};

absl::Status Serve(const std::string& folder, int64_t interval_us) {
  std::unique_ptr<Pacer> pacer;
  if (interval_us > 0) pacer = std::make_unique<Pacer>(absl::Microseconds(interval_us));
  MockInference inference(pacer.get());
  QUIRE_ASSIGN_OR_RETURN(GrpcServer server, StartGrpcServer({}, {&inference}));
  gateway::testing::ScriptedBackend coordinator;
  coordinator.admit = [&](const v1::AdmitRequest& request,
                          const gateway::testing::ScriptedBackend::AdmitWriter& write) {
    v1::AdmitReply placement = coordinator.Placement();
    placement.mutable_placement()->set_address(absl::StrCat("127.0.0.1:", server.port));
    write(placement);
    write(coordinator.Grant(std::min<uint64_t>(kFirstGrant, request.max_tokens())));
    return grpc::Status::OK;
  };
  QUIRE_RETURN_IF_ERROR(WriteFileAtomically(folder + "/pepper", coordinator.pepper(), 0600));
  nlohmann::ordered_json ready;
  ready["coordinator"] = coordinator.address();
  ready["key"] = coordinator.key();
  ready["model"] = "tiny";
  std::puts(ready.dump().c_str());
  std::fflush(stdout);
  WaitForShutdownSignal();
  server.server->Shutdown(std::chrono::system_clock::now());
  return absl::OkStatus();
}

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) {
  std::string folder;
  int64_t interval_us = 0;
  quire::Options options("quire-bench-backend", "A scripted coordinator and a mock worker group.");
  options.Add("folder", &folder, "DIR", "where the pepper file is written");
  options.Add("interval-us", &interval_us, "us", "time between a stream's tokens; 0 = none", {0, 10'000'000});
  options.Require("folder");
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  quire::BlockShutdownSignals();
  const absl::Status status = quire::bench::Serve(folder, interval_us);
  if (status.ok()) return 0;
  std::fprintf(stderr, "quire-bench-backend: %s\n", std::string(status.message()).c_str());
  return 1;
}
