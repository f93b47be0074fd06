// quire-bench-backend: what a gateway needs behind it, at no cost worth speaking of: a scripted coordinator
// that admits everything, with a first grant of the real one's size, so that the gateway asks for as many
// extensions, and a worker group whose requests get a token each --interval-us, all in one frame as a group's
// step brings them (0 = as fast as there is credit). Writes DIR/pepper, prints {"coordinator","key","model"},
// serves until SIGTERM. For bench_gateway.py.

#include <algorithm>
#include <cstdio>
#include <map>
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

// One session: a frame per tick with a token of each request (or as fast as they are taken). gRPC deletes it
// at its end, through the share that it holds of itself; the pacer holds another.
class MockSession final : public grpc::ServerBidiReactor<v1::GatewayFrame, v1::GroupFrame>,
                          public std::enable_shared_from_this<MockSession> {
 public:
  explicit MockSession(bool paced) : paced_(paced) {}

  // `pacer` is null where tokens come at once.
  void Begin(Pacer* pacer) {
    self_ = shared_from_this();
    if (pacer != nullptr) pacer->Add([session = shared_from_this()] { return session->OnTick(); });
    StartRead(&received_);
  }

  void OnReadDone(bool ok) override {
    MutexLock lock(&mutex_);
    if (!ok) return End();
    if (received_.has_submit()) {
      const v1::Submit& submit = received_.submit();
      MockRequest& request = requests_[submit.tag()];
      request.tokens = submit.request().max_tokens();
      request.credit = submit.credit();
      request.due = paced_ ? 0 : request.tokens;
    }
    for (const v1::Credit& credit : received_.credits()) {
      if (auto it = requests_.find(credit.tag()); it != requests_.end()) it->second.credit += credit.tokens();
    }
    for (const uint64_t tag : received_.aborts()) requests_.erase(tag);
    WriteNext();
    if (!ended_) StartRead(&received_);
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
  struct MockRequest {
    uint32_t tokens = 0, due = 0, sent = 0, credit = 0;
  };

  bool OnTick() {
    MutexLock lock(&mutex_);
    for (auto& [tag, request] : requests_) request.due = std::min(request.due + 1, request.tokens);
    WriteNext();
    return !ended_;
  }

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || ended_) return;
    frame_.Clear();
    for (auto next = requests_.begin(); next != requests_.end();) {
      const auto it = next++;
      if (Say(it->first, it->second)) requests_.erase(it);
    }
    if (frame_.updates_size() == 0) return;  // the next tick or credit goes on
    writing_ = true;
    StartWrite(&frame_);
  }

  // True at its end.
  bool Say(uint64_t tag, MockRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const uint32_t count = std::min(request.due - request.sent, request.credit);
    if (count == 0) return false;
    v1::RequestUpdate& update = *frame_.add_updates();
    update.set_tag(tag);
    if (request.sent == 0) update.mutable_accepted();
    update.mutable_tokens()->set_first_position(request.sent);
    request.credit -= count;
    for (const uint32_t end = request.sent + count; request.sent < end; ++request.sent) {
      update.mutable_tokens()->add_ids('a' + static_cast<int>(request.sent % 26));
    }
    if (request.sent < request.tokens) return false;
    update.mutable_finished()->set_reason(v1::FINISH_LENGTH);
    update.mutable_ended();
    return true;
  }

  void End() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!std::exchange(ended_, true)) Finish(grpc::Status::OK);
  }

  const bool paced_;
  std::shared_ptr<MockSession> self_;
  v1::GatewayFrame received_;
  v1::GroupFrame frame_;  // the write under way
  Mutex mutex_;
  std::map<uint64_t, MockRequest> requests_ ABSL_GUARDED_BY(mutex_);  // by tag
  bool writing_ ABSL_GUARDED_BY(mutex_) = false, ended_ ABSL_GUARDED_BY(mutex_) = false;
};

class MockInference final : public v1::Inference::CallbackService {
 public:
  explicit MockInference(Pacer* pacer) : pacer_(pacer) {}

  grpc::ServerBidiReactor<v1::GatewayFrame, v1::GroupFrame>* Serve(grpc::CallbackServerContext*) override {
    const auto session = std::make_shared<MockSession>(pacer_ != nullptr);
    session->Begin(pacer_);
    return session.get();
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
