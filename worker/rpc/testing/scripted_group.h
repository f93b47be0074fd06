// A group over the scripted runner in the test's own process, and clients for it over a real connection. One
// test owns a ScriptedGroup; each call object is used by one thread.
#pragma once

#include <grpcpp/generic/generic_stub.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/engine/testing/scripted_runner.h"
#include "worker/rpc/group_server.h"

namespace quire::worker {

inline constexpr uint64_t kTestEpoch = 7;

// A valid greedy request with a prompt of equal tokens.
v1::GenerateRequest TestRequest(int prompt, uint32_t max_tokens);
// With so many choices in place of its one.
v1::GenerateRequest WithChoices(v1::GenerateRequest request, uint32_t choices);

// All that a choice was answered.
struct SpokenChoice {
  std::vector<TokenId> ids;
  std::vector<float> logprobs;
  std::vector<v1::TopLogprobs> top_logprobs;
  uint32_t first_position = 0;
  v1::FinishReason reason = v1::FINISH_UNSPECIFIED;
  bool finished = false;
};

// And a request.
struct Reply {
  grpc::Status status;
  v1::Accepted accepted;
  std::map<uint32_t, SpokenChoice> choices;  // that have spoken, by index
  bool ended = false;
  bool in_order = true;  // accepted, of each choice tokens without gaps and finished, ended

  void Take(const v1::RequestUpdate& update);

  const SpokenChoice& choice(uint32_t index = 0) const;
  const std::vector<TokenId>& ids(uint32_t index = 0) const { return choice(index).ids; }
  v1::FinishReason finished(uint32_t index = 0) const { return choice(index).reason; }
};

// A gateway's end of a session. Requests have the tags that they are submitted with.
class TestSession {
 public:
  explicit TestSession(v1::Inference::Stub* stub) : stream_(stub->Serve(&context_)) {}
  ~TestSession();

  static constexpr uint32_t kPlenty = 1u << 30;

  void Submit(uint64_t tag, const v1::GenerateRequest& request, uint32_t credit = kPlenty);
  // False if the session has ended.
  bool Grant(uint64_t tag, uint32_t tokens);
  void Abort(uint64_t tag);
  void AbortChoice(uint64_t tag, uint32_t choice);
  // False if the session ended first.
  bool ReadFrame();
  bool ReadUntil(const std::function<bool()>& seen);
  // Reads until the request has ended, or the session with its status.
  const Reply& ReadToEnd(uint64_t tag);
  const v1::GroupFrame& frame() const { return frame_; }  // the last one
  const Reply& reply(uint64_t tag) { return replies_[tag]; }
  void Cancel() { context_.TryCancel(); }
  void CloseSending() { stream_->WritesDone(); }
  // Of the session; reads all that still comes.
  grpc::Status End();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::GatewayFrame, v1::GroupFrame>> stream_;
  v1::GroupFrame frame_;
  std::map<uint64_t, Reply> replies_;
  std::optional<grpc::Status> end_;
};

// A session with one request.
class OpenCall {
 public:
  OpenCall(v1::Inference::Stub* stub, const v1::GenerateRequest& request) : session_(stub) {
    session_.Submit(kTag, request);
  }
  // False if the request ended first.
  bool ReadUntilToken();
  // False if the session ended first.
  bool ReadUntilBeat();
  Reply ReadToEnd() { return session_.ReadToEnd(kTag); }
  void Cancel() { session_.Cancel(); }

 private:
  static constexpr uint64_t kTag = 1;
  TestSession session_;
};

// grpc.health.v1.Health/Watch, whose messages are two bytes long.
class HealthWatch {
 public:
  HealthWatch(std::shared_ptr<grpc::Channel> channel, const std::string& service);
  ~HealthWatch();
  // Reads states until this one; false if the stream ended.
  bool AwaitServing(bool serving);

 private:
  bool Next();  // waits for the operation under way

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

struct TestKnobs {
  int32_t kv_blocks = 64;
  int64_t max_sequences = 16;
  int64_t waiting_room = 16;
  uint64_t held_from_step = 0;  // steps from this one on wait for ReleaseSteps; 0 = none
  std::string coordinator = {};
  TextBundle bundle = {};
  bool grammars = false;                 // of kind "scripted"
  Notification* compile_from = nullptr;  // no grammar is compiled before; outlives the group
  TlsFiles tls = {};
};

class ScriptedGroup {
 public:
  explicit ScriptedGroup(TestKnobs knobs = {});
  ~ScriptedGroup();

  Reply Generate(const v1::GenerateRequest& request) { return Open(request)->ReadToEnd(); }
  std::unique_ptr<OpenCall> Open(const v1::GenerateRequest& request);
  std::unique_ptr<TestSession> OpenSession() { return std::make_unique<TestSession>(stub_.get()); }
  // Over a connection whose window stays at 64 KiB, however much the server sends.
  std::unique_ptr<TestSession> OpenSessionWithFixedWindow();
  std::unique_ptr<HealthWatch> WatchHealth(const std::string& service);
  // What the request's choice of this index must get.
  std::vector<TokenId> Expected(const v1::GenerateRequest& request, uint32_t choice = 0) const;
  // Waits until nothing runs; no block may be referenced then, and no cancel may have taken more than two
  // steps.
  void AuditIdle();
  void ReleaseSteps();
  void set_healthy(bool healthy) { healthy_ = healthy; }

  std::string address() const { return absl::StrCat("127.0.0.1:", server_->port()); }
  GroupServer& server() { return *server_; }
  double Metric(const std::string& name) const;
  Notification& drained() { return drained_; }
  Notification& lost() { return lost_; }

 private:
  Metrics metrics_;
  SystemClock clock_;
  std::atomic<bool> healthy_{true};
  Notification release_, drained_, lost_;
  ScriptedOptions script_;
  std::unique_ptr<ScriptedRunner> runner_;
  std::unique_ptr<GroupServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Inference::Stub> stub_, fixed_window_stub_;
};

}  // namespace quire::worker
