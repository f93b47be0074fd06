// The engine of rank 0: one thread that reads its mail, schedules, runs steps (flight.h) and applies them,
// for as long as there is work, and sleeps otherwise. See README.md here for its contract. Owned by the
// composition root (or a test). Submit, Cancel, StopAdmitting, Stop, AwaitIdle and load may be called from
// any thread; everything else, sequences and blocks included, belongs to the engine thread alone.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/core/clock.h"
#include "base/core/metrics.h"
#include "worker/engine/emitter.h"
#include "worker/engine/engine_metrics.h"
#include "worker/engine/flight.h"
#include "worker/engine/mailbox.h"
#include "worker/engine/mask_budget.h"
#include "worker/engine/scheduler.h"

namespace quire::worker {

struct EngineOptions {
  SchedulerLimits limits;
  int32_t kv_blocks = 0;
  int64_t plain_context = 0;   // positions of a sequence with plain RoPE
  int64_t scaled_context = 0;  // and with scaled RoPE
  int64_t waiting_room = 64;   // choices beyond max_sequences, before Submit refuses
};

// What a heartbeat tells the coordinator.
struct EngineLoad {
  int64_t kv_blocks_total = 0, kv_blocks_free = 0;
  int64_t running = 0, waiting = 0;
  uint64_t steps = 0, emitted_tokens = 0;
};

class Engine {
 public:
  // Starts the thread. `on_updates` gets what each step brought, on the emitter's thread. `on_lost` is called
  // on the engine's, at most once, when a step can't be run: every request is then failed with Unavailable
  // and none is admitted any more. Runner, metrics and clock outlive the engine.
  Engine(const EngineOptions& options, ModelRunner* runner, Metrics* metrics, const Clock* clock,
         UpdateSink on_updates, std::function<void(absl::Status)> on_lost);
  ~Engine();  // Stop

  // See Mailbox. A request that can't be served alone ends by an update with InvalidArgument.
  absl::StatusOr<uint64_t> Submit(std::shared_ptr<const SharedRequest> request, ReplyTo to);
  // The request gets no update any more once the engine has seen this, before the next step is planned;
  // unknown tickets are ignored.
  void Cancel(uint64_t ticket);
  // The same of one choice of it, which still gets its end (kDone). The last one ends the request.
  void CancelChoice(uint64_t ticket, uint32_t choice);
  void StopAdmitting(absl::Status why) { mailbox_.Refuse(std::move(why)); }
  bool AwaitIdle(absl::Duration timeout) { return mailbox_.AwaitEmpty(timeout); }
  // Fails what is left with `why`; all updates have been handed on when it returns. From one thread.
  void Stop(absl::Status why);
  EngineLoad load() const ABSL_LOCKS_EXCLUDED(load_mutex_);

 private:
  struct Request {
    std::vector<std::unique_ptr<Sequence>> choices;  // unfinished
    std::vector<Update> finished;                    // of choices that had nothing to do: told once announced
    std::shared_ptr<ScoredPrompt> scored;            // theirs
    ReplyTo to;
    bool announced = false;
  };
  // Why a request can't go on. Kept until all rows of the step are dealt with, its other choices' among them.
  struct Failure {
    uint64_t ticket = 0;
    absl::Status why;
    bool blocks_are_wrong = false;
  };

  // Of a cancelled request: its blocks are free once this step was collected; and the steps that had begun
  // when it was cancelled.
  struct Cancelled {
    uint64_t held_by = 0, step = 0;
  };

  void Run();
  bool idle() const { return scheduler_.empty() && flight_.empty(); }
  bool ReadMail();
  void Begin(Submission submission);
  absl::Status BeginChoice(const Submission& submission, size_t nth, Request& request);
  void EndCancelled(const Cancellation& cancellation);
  // How long its blocks are held goes by the step in flight.
  void NoteCancelled(const Cancellation& cancellation);
  void NoteFreed(const Cancelled& cancelled);
  // Plans and launches a step, if one can be run now, and applies the oldest one where that is to be waited
  // for.
  absl::Status RunStep();
  absl::StatusOr<LandedStep> Collect();
  // What is in flight runs to its end, for nobody.
  void Land();
  void Lose(const absl::Status& why);
  void Announce(const Step& step);
  void Announce(Request& request, int64_t cached_tokens);
  // For the prices of the next steps, and whether this one kept to the target.
  void Measure(const StepWork& work, int64_t took_us);
  void Apply(const Step& step, const StepResult& result);
  // What a sequence's rows brought, whose first is `first_row` of the step.
  struct LandedRows {
    const SequencePlan& plan;
    int64_t first_row;
    std::span<const WantedRow> wanted;
    std::span<const SampledToken> tokens;
    // Each token that was sampled is its owner's: the sequence's, or of one that forks from it.
    std::span<Sequence* const> owners;
  };
  std::optional<Failure> ApplyRows(Sequence& sequence, const LandedRows& rows);
  void TellScores(Sequence& sequence, const LandedRows& rows);
  std::optional<Failure> ApplySample(Sequence& sequence, const SampledToken& token);
  // Who is to go because all masks of the step together take too long.
  std::optional<Failure> SpendOnMasks();
  void EndChoice(Sequence& sequence);
  void Fail(const Failure& failure);
  void Tell(ReplyTo to, Update update);
  // What was told since the last time goes to the emitter.
  void HandOver();
  void Remove(Sequence& sequence);
  // Takes the request out, with what is left of its choices: whom nothing more is to be told.
  ReplyTo Remove(uint64_t ticket);
  // And tells its last update.
  void End(uint64_t ticket, absl::Status why);
  void EndAll(const absl::Status& why);
  void AuditIdle();
  void Publish() ABSL_LOCKS_EXCLUDED(load_mutex_);

  const EngineOptions options_;
  const std::function<void(absl::Status)> on_lost_;
  EngineMetrics metrics_;
  Mailbox mailbox_;
  Flight flight_;
  mutable Mutex load_mutex_;
  EngineLoad load_ ABSL_GUARDED_BY(load_mutex_);
  PrefixCache cache_;
  Scheduler scheduler_;
  StepCosts costs_;
  MaskBudget masks_;
  absl::flat_hash_map<uint64_t, Request> requests_;  // by ticket
  std::vector<Cancelled> cancelled_;                 // their blocks are held
  uint64_t emitted_tokens_ = 0, most_steps_after_cancel_ = 0;
  int64_t published_preemptions_ = 0;
  std::vector<Update> updates_;  // since the last hand-over
  Emitter emitter_;
  std::thread thread_;  // last: it uses everything above
};

}  // namespace quire::worker
