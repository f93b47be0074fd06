#include "worker/engine/test_engine.h"

#include <utility>

namespace quire::worker {
namespace {

constexpr uint64_t kSession = 3;

}  // namespace

RequestAnswer::RequestAnswer(const GenerationRequest& request) {
  for (const ChoiceStart& choice : request.choices)
    choices[choice.index].next_position = std::ssize(choice.resumed_ids);
  last_score = std::ssize(request.prompt_ids);
  next_score = request.scoring ? request.scoring->from : last_score;
}

void RequestAnswer::Take(const Update& update) {
  EXPECT_FALSE(end.has_value()) << "something came behind the end";
  if (update.cached_tokens) {
    EXPECT_FALSE(cached_tokens.has_value()) << "told twice what is cached";
    EXPECT_TRUE(update.ids.empty() && !update.finished && !update.ended);
    cached_tokens = update.cached_tokens;
    return;
  }
  if (update.ended) {
    EXPECT_TRUE(update.ids.empty() && !update.finished);
    for (const auto& [index, choice] : choices) {
      EXPECT_TRUE(!update.ended->ok() || choice.finished) << "choice " << index << " has not finished";
    }
    end = update.ended;
    done.Notify();
    return;
  }
  EXPECT_TRUE(cached_tokens.has_value()) << "that comes first";
  if (update.scores) {
    EXPECT_TRUE(update.ids.empty() && !update.finished && update.first_position == next_score);
    next_score += std::ssize(update.logprobs);
    scores.insert(scores.end(), update.logprobs.begin(), update.logprobs.end());
    top_scores.insert(top_scores.end(), update.top_logprobs.begin(), update.top_logprobs.end());
    return;
  }
  EXPECT_TRUE(update.ids.empty() || next_score >= last_score) << "a token came before the prompt's scores";
  ASSERT_TRUE(choices.contains(update.choice)) << update.choice;
  ChoiceAnswer& choice = choices.at(update.choice);
  EXPECT_FALSE(choice.finished.has_value()) << "choice " << update.choice << " had finished";
  EXPECT_TRUE(update.ids.empty() || update.first_position == choice.next_position) << update.first_position;
  choice.ids.insert(choice.ids.end(), update.ids.begin(), update.ids.end());
  choice.logprobs.insert(choice.logprobs.end(), update.logprobs.begin(), update.logprobs.end());
  choice.top_logprobs.insert(choice.top_logprobs.end(), update.top_logprobs.begin(),
                             update.top_logprobs.end());
  choice.next_position += std::ssize(update.ids);
  choice.finished = update.finished;
  if (!update.ids.empty() && !first_token.HasBeenNotified()) first_token.Notify();
}

TestEngine::TestEngine(EngineKnobs knobs) : script_(std::move(knobs.script)) {
  script_.kv_blocks = knobs.kv_blocks;
  script_.max_sequences = knobs.limits.max_sequences;
  runner_ = std::make_unique<ScriptedRunner>(script_);
  EngineOptions options;
  options.limits = knobs.limits;
  options.kv_blocks = knobs.kv_blocks;
  options.plain_context = options.scaled_context = kContext;
  options.waiting_room = knobs.waiting_room;
  engine_ = std::make_unique<Engine>(
      options, runner_.get(), &metrics_, knobs.clock != nullptr ? knobs.clock : &clock_,
      [this](const std::vector<Update>& updates) { Take(updates); },
      [this](absl::Status why) { lost_ = std::move(why); });
}

absl::StatusOr<uint64_t> TestEngine::Submit(const GenerationRequest& request,
                                            std::shared_ptr<RequestAnswer> answer) {
  uint64_t tag = 0;
  {
    MutexLock lock(&mutex_);
    tag = answers_.size();
    answers_.push_back(std::move(answer));
  }
  return engine_->Submit(Share(request), {kSession, tag});
}

std::shared_ptr<RequestAnswer> TestEngine::Start(const GenerationRequest& request) {
  auto answer = std::make_shared<RequestAnswer>(request);
  EXPECT_TRUE(Submit(request, answer).ok());
  return answer;
}

std::shared_ptr<RequestAnswer> TestEngine::RunToEnd(const GenerationRequest& request) {
  auto answer = Start(request);
  answer->done.WaitForNotification();
  return answer;
}

std::vector<TokenId> TestEngine::Expected(const GenerationRequest& request, size_t nth) const {
  Sequence sequence(0, Share(request), kContext, nth);
  const std::vector<TokenId>& resumed = request.choices[nth].resumed_ids;
  std::vector<TokenId> tokens = request.prompt_ids;
  tokens.insert(tokens.end(), resumed.begin(), resumed.end());
  while (!sequence.finished()) {
    kernels::TokenCounts counts;
    counts.AddPrompt(request.prompt_ids);
    for (const TokenId id : sequence.output()) counts.AddOutput(id);
    SampleSpec sample;
    if (request.sampling.penalizes()) sample.counts = &counts;
    sample.seed = request.seed;
    sample.choice = request.choices[nth].index;
    sample.position = static_cast<uint32_t>(sequence.output().size());
    if (sample.position < request.min_tokens) sample.params.masked_ids = request.stop_ids;
    tokens.push_back(ScriptedToken(script_, tokens, request.scaled_rope, sample));
    sequence.Append(tokens.back());
  }
  return {tokens.begin() + std::ssize(request.prompt_ids) + std::ssize(resumed), tokens.end()};
}

void TestEngine::ExpectScores(const GenerationRequest& request, const RequestAnswer& answer) {
  if (!request.scoring) {
    EXPECT_TRUE(answer.scores.empty());
    return;
  }
  const auto top = static_cast<size_t>(request.scoring->top_logprobs);
  ASSERT_EQ(answer.top_scores.size(), answer.scores.size() * top);
  const std::vector<TokenId>& prompt = request.prompt_ids;
  for (size_t i = 0; i < answer.scores.size(); ++i) {
    const std::vector<TokenId> tokens(prompt.begin(), prompt.begin() + request.scoring->from + 1 + i);
    const SampledToken score = ScriptedScore(tokens, request.scaled_rope, request.scoring->top_logprobs);
    EXPECT_EQ(answer.scores[i], score.logprob) << "token " << tokens.size() - 1;
    for (size_t j = 0; j < top; ++j) {
      EXPECT_EQ(answer.top_scores[i * top + j].id, score.top_logprobs[j].id);
      EXPECT_EQ(answer.top_scores[i * top + j].logprob, score.top_logprobs[j].logprob);
    }
  }
}

void TestEngine::ExpectWhole(const GenerationRequest& request, const RequestAnswer& answer) const {
  EXPECT_TRUE(answer.status().ok()) << answer.status();
  ExpectScores(request, answer);
  EXPECT_GE(answer.next_score, answer.last_score) << "scores are missing";
  for (size_t nth = 0; nth < request.choices.size(); ++nth) {
    const ChoiceStart& choice = request.choices[nth];
    EXPECT_EQ(answer.ids(choice.index), choice.done ? std::vector<TokenId>() : Expected(request, nth))
        << "choice " << choice.index;
  }
}

void TestEngine::StopAndAudit() {
  EXPECT_TRUE(engine_->AwaitIdle(absl::Seconds(30)));
  engine_->Stop(absl::UnavailableError("the test is over"));
  EXPECT_EQ(engine_->load().kv_blocks_free, engine_->load().kv_blocks_total);
  EXPECT_EQ(Metric("quire_worker_integrity_errors_total"), 0);
  EXPECT_LE(Metric("quire_worker_steps_after_cancel_max"), 2);
}

double TestEngine::Metric(const std::string& name) const {
  const std::string text = metrics_.Text();
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

int TestEngine::batches() const {
  MutexLock lock(&mutex_);
  return batches_;
}

void TestEngine::Take(const std::vector<Update>& updates) {
  std::vector<std::shared_ptr<RequestAnswer>> answers;
  {
    MutexLock lock(&mutex_);
    ++batches_;
    for (const Update& update : updates) answers.push_back(answers_[update.to.tag]);
  }
  for (size_t i = 0; i < updates.size(); ++i) {
    EXPECT_EQ(updates[i].to.session, kSession);
    answers[i]->Take(updates[i]);
  }
}

void HoldLaunches(EngineKnobs& knobs, Notification& there) {
  knobs.script.on_launch = [&there](const BatchPlan&) {
    there.WaitForNotification();
    return absl::OkStatus();
  };
}

std::vector<TokenId> RandomPrompt(std::mt19937& random) {
  const auto tokens = static_cast<int64_t>(1 + random() % 70);
  const auto family = static_cast<TokenId>(random() % 3);
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < tokens; ++i) ids.push_back(i < 40 ? family : static_cast<TokenId>(random() % 900));
  return ids;
}

GenerationRequest EqualTokens(int64_t prompt, int64_t max_tokens) {
  GenerationRequest request;
  request.prompt_ids.assign(prompt, 5);
  request.max_tokens = max_tokens;
  return request;
}

std::vector<ChoiceStart> Choices(const std::vector<uint32_t>& indexes) {
  std::vector<ChoiceStart> choices;
  for (const uint32_t index : indexes) choices.push_back({.index = index});
  return choices;
}

}  // namespace quire::worker
