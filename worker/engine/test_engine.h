// For tests only: an engine over the scripted runner, and what its requests were answered. It holds the
// engine to its promises as updates come: what is cached first, scores of the prompt in order and before any
// token, each choice's tokens without a gap and its finish behind them, the request's end behind all, each of
// these once.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/core/mutex.h"
#include "worker/engine/engine.h"
#include "worker/engine/testing/scripted_runner.h"

namespace quire::worker {

// What a choice got so far.
struct ChoiceAnswer {
  std::vector<TokenId> ids;
  std::vector<float> logprobs;
  std::vector<TokenLogprob> top_logprobs;
  int64_t next_position = 0;
  std::optional<FinishCause> finished;
};

// And a request. Written by the emitter's thread; read what is in it after `done`, or of one that was
// cancelled after the engine's Stop.
struct RequestAnswer {
  explicit RequestAnswer(const GenerationRequest& request);
  void Take(const Update& update);

  // Of the choice of this index.
  const std::vector<TokenId>& ids(uint32_t choice = 0) const { return choices.at(choice).ids; }
  std::optional<FinishCause> finished(uint32_t choice = 0) const { return choices.at(choice).finished; }
  // The request's end.
  absl::Status status() const { return end.value_or(absl::UnknownError("it has not ended")); }

  std::map<uint32_t, ChoiceAnswer> choices;
  std::optional<int64_t> cached_tokens;
  // Of the prompt, from the position on that was asked for.
  int64_t next_score = 0, last_score = 0;
  std::vector<float> scores;
  std::vector<TokenLogprob> top_scores;
  std::optional<absl::Status> end;
  Notification first_token, done;
};

struct EngineKnobs {
  SchedulerLimits limits;
  int32_t kv_blocks = 64;
  int64_t waiting_room = 64;
  ScriptedOptions script;
  const Clock* clock = nullptr;  // not the system's; outlives the engine
};

class TestEngine {
 public:
  static constexpr int64_t kContext = 100'000;

  explicit TestEngine(EngineKnobs knobs);

  absl::StatusOr<uint64_t> Submit(const GenerationRequest& request, std::shared_ptr<RequestAnswer> answer);
  // The status of one that is refused.
  absl::Status SubmitRefused(const GenerationRequest& request) {
    return Submit(request, std::make_shared<RequestAnswer>(request)).status();
  }
  std::shared_ptr<RequestAnswer> Start(const GenerationRequest& request);
  std::shared_ptr<RequestAnswer> RunToEnd(const GenerationRequest& request);
  // What the request's nth choice must get, computed alone over plain tokens. Of no grammar.
  std::vector<TokenId> Expected(const GenerationRequest& request, size_t nth = 0) const;
  // That its scores are those of each prompt token over plain tokens: all of them, or as many as came.
  static void ExpectScores(const GenerationRequest& request, const RequestAnswer& answer);
  // That the request ended well and each choice got that, and its scores.
  void ExpectWhole(const GenerationRequest& request, const RequestAnswer& answer) const;

  // Ends the engine, so that its counters stand still; checks what must hold after any work.
  void StopAndAudit();
  double Metric(const std::string& name) const;

  Engine& engine() { return *engine_; }
  const absl::Status& lost() const { return lost_; }
  // Of blocks, by the runner; read after the engine's Stop.
  int64_t copies() const { return runner_->copies(); }
  // And rows that began with a token of a step in flight.
  int64_t ahead() const { return runner_->ahead(); }
  // How often updates were handed over.
  int batches() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Take(const std::vector<Update>& updates) ABSL_LOCKS_EXCLUDED(mutex_);

  Metrics metrics_;
  SystemClock clock_;
  ScriptedOptions script_;
  absl::Status lost_;
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<RequestAnswer>> answers_ ABSL_GUARDED_BY(mutex_);  // by tag
  int batches_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<ScriptedRunner> runner_;
  std::unique_ptr<Engine> engine_;
};

// No step is launched before `there`, which outlives the engine.
void HoldLaunches(EngineKnobs& knobs, Notification& there);
// Of up to 70 ids, with one of few beginnings: prefixes are shared.
std::vector<TokenId> RandomPrompt(std::mt19937& random);
// A prompt of equal tokens.
GenerationRequest EqualTokens(int64_t prompt, int64_t max_tokens);
// Choices of these indexes, from their beginning.
std::vector<ChoiceStart> Choices(const std::vector<uint32_t>& indexes);

}  // namespace quire::worker
