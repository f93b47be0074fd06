#include "worker/rpc/testing/scripted_group.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "worker/engine/testing/scripted_grammar.h"

namespace quire::worker {
namespace {

constexpr int64_t kVocab = 1000, kContext = 100'000;

class HeldCompiler final : public GrammarCompiler {
 public:
  explicit HeldCompiler(const Notification* from) : from_(from) {}
  absl::StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(const std::string& kind,
                                                                 const std::string& source,
                                                                 int64_t vocab) const override {
    if (from_ != nullptr) from_->WaitForNotification();
    return ScriptedGrammarCompiler().Compile(kind, source, vocab);
  }

 private:
  const Notification* const from_;
};

}  // namespace

v1::GenerateRequest TestRequest(int prompt, uint32_t max_tokens) {
  v1::GenerateRequest request;
  request.set_request_id(std::string(16, 'r'));
  request.set_group_epoch(kTestEpoch);
  request.mutable_prompt_ids()->Resize(prompt, 5);
  request.add_choices();
  request.mutable_sampling()->set_top_p(1);
  request.mutable_sampling()->set_repetition_penalty(1);
  request.set_cache_salt("account");
  request.set_max_tokens(max_tokens);
  return request;
}

v1::GenerateRequest WithChoices(v1::GenerateRequest request, uint32_t choices) {
  request.clear_choices();
  for (uint32_t index = 0; index < choices; ++index) request.add_choices()->set_index(index);
  return request;
}

void Reply::Take(const v1::RequestUpdate& update) {
  in_order &= !ended;
  if (update.has_accepted()) {
    in_order &= choices.empty() && accepted.numerics_id().empty();
    accepted = update.accepted();
  }
  if (update.has_tokens()) {
    const v1::Tokens& tokens = update.tokens();
    SpokenChoice& choice = choices[tokens.choice()];
    if (choice.ids.empty()) choice.first_position = tokens.first_position();
    in_order &= !accepted.numerics_id().empty() && !choice.finished &&
                tokens.first_position() == choice.first_position + choice.ids.size();
    choice.ids.insert(choice.ids.end(), tokens.ids().begin(), tokens.ids().end());
    choice.logprobs.insert(choice.logprobs.end(), tokens.logprobs().begin(), tokens.logprobs().end());
    choice.top_logprobs.insert(choice.top_logprobs.end(), tokens.top_logprobs().begin(),
                               tokens.top_logprobs().end());
  }
  if (update.has_finished()) {
    SpokenChoice& choice = choices[update.finished().choice()];
    in_order &= !accepted.numerics_id().empty() && !choice.finished;
    choice.finished = true;
    choice.reason = update.finished().reason();
  }
  if (!update.has_ended()) return;
  ended = true;
  status = grpc::Status(static_cast<grpc::StatusCode>(update.ended().code()), update.ended().message());
  for (const auto& [index, choice] : choices) in_order &= choice.finished || !status.ok();
}

const SpokenChoice& Reply::choice(uint32_t index) const {
  static const SpokenChoice silent;
  const auto found = choices.find(index);
  return found == choices.end() ? silent : found->second;
}

TestSession::~TestSession() {
  context_.TryCancel();
  End();
}

void TestSession::Submit(uint64_t tag, const v1::GenerateRequest& request, uint32_t credit) {
  v1::GatewayFrame frame;
  frame.mutable_submit()->set_tag(tag);
  *frame.mutable_submit()->mutable_request() = request;
  frame.mutable_submit()->set_credit(credit);
  stream_->Write(frame);
}

bool TestSession::Grant(uint64_t tag, uint32_t tokens) {
  v1::GatewayFrame frame;
  frame.add_credits()->set_tag(tag);
  frame.mutable_credits(0)->set_tokens(tokens);
  return stream_->Write(frame);
}

void TestSession::Abort(uint64_t tag) {
  v1::GatewayFrame frame;
  frame.add_aborts(tag);
  stream_->Write(frame);
}

void TestSession::AbortChoice(uint64_t tag, uint32_t choice) {
  v1::GatewayFrame frame;
  v1::ChoiceAbort& abort = *frame.add_choice_aborts();
  abort.set_tag(tag);
  abort.set_choice(choice);
  stream_->Write(frame);
}

bool TestSession::ReadFrame() {
  if (end_) return false;
  if (!stream_->Read(&frame_)) {
    end_ = stream_->Finish();
    return false;
  }
  for (const v1::RequestUpdate& update : frame_.updates()) replies_[update.tag()].Take(update);
  if (frame_.closing()) CloseSending();
  return true;
}

bool TestSession::ReadUntil(const std::function<bool()>& seen) {
  while (!seen()) {
    if (!ReadFrame()) return false;
  }
  return true;
}

const Reply& TestSession::ReadToEnd(uint64_t tag) {
  Reply& reply = replies_[tag];
  if (!ReadUntil([&] { return reply.ended; })) reply.status = *end_;
  return reply;
}

grpc::Status TestSession::End() {
  while (ReadFrame()) {
  }
  return *end_;
}

bool OpenCall::ReadUntilToken() {
  const Reply& reply = session_.reply(kTag);
  return session_.ReadUntil([&] { return reply.ended || !reply.ids().empty(); }) && !reply.ids().empty();
}

bool OpenCall::ReadUntilBeat() {
  do {
    if (!session_.ReadFrame()) return false;
  } while (session_.frame().updates_size() > 0);
  return true;
}

HealthWatch::HealthWatch(std::shared_ptr<grpc::Channel> channel, const std::string& service)
    : stub_(channel) {
  call_ = stub_.PrepareCall(&context_, "/grpc.health.v1.Health/Watch", &queue_);
  call_->StartCall(nullptr);
  Next();
  const std::string message =
      absl::StrCat("\x0a", std::string(1, static_cast<char>(service.size())), service);
  const grpc::Slice slice(message);
  call_->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
  Next();
}

HealthWatch::~HealthWatch() {
  context_.TryCancel();
  queue_.Shutdown();
  while (Next()) {
  }
}

bool HealthWatch::Next() {
  void* tag = nullptr;
  bool ok = false;
  return queue_.Next(&tag, &ok) && ok;
}

bool HealthWatch::AwaitServing(bool serving) {
  const std::string wanted = serving ? std::string("\x08\x01", 2) : std::string("\x08\x02", 2);
  for (;;) {
    grpc::ByteBuffer buffer;
    call_->Read(&buffer, nullptr);
    if (!Next()) return false;
    grpc::Slice slice;
    if (!buffer.DumpToSingleSlice(&slice).ok()) return false;
    if (std::string(reinterpret_cast<const char*>(slice.begin()), slice.size()) == wanted) return true;
  }
}

ScriptedGroup::ScriptedGroup(TestKnobs knobs) {
  script_.kv_blocks = knobs.kv_blocks;
  script_.max_sequences = knobs.max_sequences;
  script_.end_id = kVocab;
  script_.on_launch = [this, from = knobs.held_from_step](const BatchPlan& plan) {
    if (from > 0 && plan.step >= from) release_.WaitForNotification();
    return absl::OkStatus();
  };
  runner_ = std::make_unique<ScriptedRunner>(script_);
  GroupServerOptions options;
  options.listen.tls = knobs.tls;
  options.coordinator = knobs.coordinator;
  options.model = {"test-model", "scripted-1", kVocab, kContext, kContext, false};
  options.identity = {"group-a", kTestEpoch, 1, {"127.0.0.1:1"}};
  options.bundle = knobs.bundle;
  options.engine.limits.max_sequences = knobs.max_sequences;
  options.engine.kv_blocks = knobs.kv_blocks;
  options.engine.waiting_room = knobs.waiting_room;
  if (knobs.grammars) options.grammars = std::make_shared<HeldCompiler>(knobs.compile_from);
  options.close_limit = std::chrono::minutes(5);  // however busy the machine is
  options.healthy = [this] { return healthy_.load(); };
  options.on_lost = [this](const absl::Status&) { lost_.Notify(); };
  options.on_drain = [this] {
    if (!drained_.HasBeenNotified()) drained_.Notify();
  };
  auto server = GroupServer::Start(std::move(options), runner_.get(), &metrics_, &clock_);
  EXPECT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  channel_ = *MakeGrpcChannel(address(), {});
  stub_ = v1::Inference::NewStub(channel_);
}

ScriptedGroup::~ScriptedGroup() { ReleaseSteps(); }

std::unique_ptr<OpenCall> ScriptedGroup::Open(const v1::GenerateRequest& request) {
  return std::make_unique<OpenCall>(stub_.get(), request);
}

std::unique_ptr<TestSession> ScriptedGroup::OpenSessionWithFixedWindow() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  fixed_window_stub_ = v1::Inference::NewStub(
      grpc::CreateCustomChannel(address(), grpc::InsecureChannelCredentials(), arguments));
  return std::make_unique<TestSession>(fixed_window_stub_.get());
}

std::unique_ptr<HealthWatch> ScriptedGroup::WatchHealth(const std::string& service) {
  return std::make_unique<HealthWatch>(channel_, service);
}

std::vector<TokenId> ScriptedGroup::Expected(const v1::GenerateRequest& request, uint32_t choice) const {
  std::vector<TokenId> tokens(request.prompt_ids().begin(), request.prompt_ids().end());
  SampleSpec sample;
  sample.seed = request.seed();
  sample.choice = choice;
  for (sample.position = 0; sample.position < request.max_tokens(); ++sample.position) {
    tokens.push_back(ScriptedToken(script_, tokens, false, sample));
  }
  return {tokens.begin() + request.prompt_ids_size(), tokens.end()};
}

void ScriptedGroup::AuditIdle() {
  EXPECT_TRUE(server_->AwaitIdle(absl::Seconds(30)));
  const EngineLoad load = server_->load();
  EXPECT_EQ(load.kv_blocks_free, load.kv_blocks_total);
  EXPECT_LE(Metric("quire_worker_steps_after_cancel_max"), 2);
  EXPECT_EQ(Metric("quire_worker_integrity_errors_total"), 0);
}

void ScriptedGroup::ReleaseSteps() {
  if (!release_.HasBeenNotified()) release_.Notify();
}

double ScriptedGroup::Metric(const std::string& name) const {
  const std::string text = metrics_.Text();
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

}  // namespace quire::worker
