#include "worker/engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

// Of one idle moment: some microseconds. Requests that come one by one would else pay a walk over all each.
constexpr int32_t kAuditBlocks = 1024;

}  // namespace

Engine::Engine(const EngineOptions& options, ModelRunner* runner, Metrics* metrics, const Clock* clock,
               UpdateSink on_updates, std::function<void(absl::Status)> on_lost)
    : options_(options),
      runner_(runner),
      clock_(clock),
      on_lost_(std::move(on_lost)),
      metrics_(*metrics),
      mailbox_(options.limits.max_sequences + options.waiting_room),
      cache_(options.kv_blocks),
      scheduler_(options.limits, &cache_),
      emitter_(std::move(on_updates)) {
  Publish();
  thread_ = std::thread([this] { Run(); });
}

Engine::~Engine() { Stop(absl::UnavailableError("the worker is stopping")); }

absl::StatusOr<uint64_t> Engine::Submit(GenerationRequest request, ReplyTo to) {
  return mailbox_.Submit(std::move(request), to);
}

void Engine::Cancel(uint64_t ticket) { mailbox_.Cancel(ticket, steps_); }

void Engine::Stop(absl::Status why) {
  mailbox_.Stop(std::move(why));
  if (thread_.joinable()) thread_.join();
  emitter_.Stop();
}

EngineLoad Engine::load() const {
  MutexLock lock(&load_mutex_);
  return load_;
}

void Engine::Run() {
  while (ReadMail()) {
    const Step step = scheduler_.Schedule(costs_.prices());
    Announce(step);
    const absl::StatusOr<StepResult> result = RunStep(step);
    if (!result.ok()) {
      EndAll(absl::UnavailableError(absl::StrCat("the worker group is lost: ", MessageOf(result.status()))));
      on_lost_(result.status());
      return;
    }
    Apply(step, *result);
    Publish();
    HandOver();
  }
}

// Waits for work; false when the engine is told to stop.
bool Engine::ReadMail() {
  do {
    if (scheduler_.empty()) {
      HandOver();  // of those that needed no step
      AuditIdle();
      collected_us_.reset();
    }
    Mail mail = mailbox_.Take(/*wait=*/scheduler_.empty());
    for (Submission& submission : mail.submissions) Begin(std::move(submission));
    for (const Cancellation& cancellation : mail.cancellations) EndCancelled(cancellation);
    if (!mail.stop.ok()) {
      EndAll(mail.stop);
      return false;
    }
  } while (scheduler_.empty());
  return true;
}

void Engine::Begin(Submission submission) {
  const int64_t context = submission.request.scaled_rope ? options_.scaled_context : options_.plain_context;
  Request& request = requests_[submission.ticket];
  request.sequence = std::make_unique<Sequence>(submission.ticket, std::move(submission.request), context);
  request.to = submission.to;
  Update update;
  update.failed = scheduler_.CheckFits(*request.sequence);
  update.finished = request.sequence->finished();  // the resumed ids were all that was asked for
  if (update.finished) update.cached_tokens = 0;
  if (!update.failed.ok() || update.finished) return End(submission.ticket, std::move(update));
  scheduler_.Add(request.sequence.get());
}

void Engine::EndCancelled(const Cancellation& cancellation) {
  const auto it = requests_.find(cancellation.ticket);
  if (it == requests_.end()) return;
  scheduler_.Remove(it->second.sequence.get());
  requests_.erase(it);
  Publish();
  mailbox_.Ended(cancellation.ticket);
  metrics_.cancels.Increment();
  most_steps_after_cancel_ = std::max(most_steps_after_cancel_, steps_.load() - cancellation.step);
  metrics_.steps_after_cancel_max.Set(static_cast<double>(most_steps_after_cancel_));
}

// Tells the newly admitted how much of their prompt is cached.
void Engine::Announce(const Step& step) {
  for (const Sequence* sequence : step.admitted) {
    metrics_.prefix_cache_hit_tokens.Increment(static_cast<double>(sequence->computed()));
    Request& request = requests_.at(sequence->id());
    if (std::exchange(request.announced, true)) continue;  // it was preempted before
    Update update;
    update.cached_tokens =
        std::min(sequence->computed(), static_cast<int64_t>(sequence->request().prompt_ids.size()));
    Tell(request, std::move(update));
  }
}

absl::StatusOr<StepResult> Engine::RunStep(const Step& step) {
  const BatchPlan& plan = step.plan;
  const int64_t start_us = clock_->NowUs();
  if (collected_us_) metrics_.host_seconds.Observe(static_cast<double>(start_us - *collected_us_) * 1e-6);
  steps_.fetch_add(1);
  metrics_.steps.Increment();
  largest_batch_ = std::max(largest_batch_, plan.sequences.size());
  metrics_.batch_sequences.Set(static_cast<double>(plan.sequences.size()));
  metrics_.batch_sequences_max.Set(static_cast<double>(largest_batch_));
  QUIRE_RETURN_IF_ERROR(runner_->Launch(plan));
  QUIRE_ASSIGN_OR_RETURN(StepResult result, runner_->Collect());
  const auto wanted = std::count_if(plan.sequences.begin(), plan.sequences.end(),
                                    [](const SequencePlan& sequence) { return sequence.wants_logits; });
  if (static_cast<int64_t>(result.tokens.size()) != wanted) {
    return absl::InternalError(
        absl::StrCat("step ", plan.step, " returned ", result.tokens.size(), " tokens, not ", wanted));
  }
  metrics_.computed_tokens.Increment(static_cast<double>(plan.tokens()));
  collected_us_ = clock_->NowUs();
  Measure(step.work, *collected_us_ - start_us);
  return result;
}

void Engine::Measure(const StepWork& work, int64_t took_us) {
  costs_.Observe(work, took_us);
  metrics_.step_seconds.Observe(static_cast<double>(took_us) * 1e-6);
  if (work.decode_rows == 0 || work.prompt_rows == 0) return;
  metrics_.mixed_steps.Increment();
  const int64_t target_us = options_.limits.target_step_ms * 1000;
  if (target_us > 0 && took_us > target_us) metrics_.steps_over_target.Increment();
}

void Engine::Apply(const Step& step, const StepResult& result) {
  updates_.reserve(updates_.size() + step.sequences.size());
  size_t next_token = 0;
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    Sequence& sequence = *step.sequences[i];
    const SequencePlan& plan = step.plan.sequences[i];
    if (plan.wants_logits &&
        result.tokens[next_token].failed) {  // what it computed keeps no name in the cache
      ++next_token;
      metrics_.failed_rows.Increment();
      Update update;
      update.failed = absl::InternalError(
          "no token can be sampled for this request: the model's output was not finite, or logit_bias and "
          "min_tokens left nothing to choose");
      sequence.ForgetBlocks(cache_);
      End(sequence.id(), std::move(update));
      continue;
    }
    sequence.Advance(static_cast<int64_t>(plan.ids.size()), cache_);
    if (plan.wants_logits) ApplySample(sequence, result.tokens[next_token++]);
  }
}

void Engine::ApplySample(Sequence& sequence, const SampledToken& token) {
  Update update;
  update.first_position = static_cast<int64_t>(sequence.output().size());
  update.ids.push_back(token.id);
  if (sequence.request().sampling.logprobs) update.logprobs.push_back(token.logprob);
  sequence.Append(token.id);
  ++emitted_tokens_;
  metrics_.emitted_tokens.Increment();
  update.finished = sequence.finished();
  if (update.finished) return End(sequence.id(), std::move(update));
  Tell(requests_.at(sequence.id()), std::move(update));
}

void Engine::Tell(const Request& request, Update update) {
  update.to = request.to;
  updates_.push_back(std::move(update));
}

void Engine::HandOver() {
  if (!updates_.empty()) emitter_.Post(std::exchange(updates_, {}));
}

void Engine::End(uint64_t id, Update last) {
  auto node = requests_.extract(id);
  scheduler_.Remove(node.mapped().sequence.get());
  Publish();  // first: who saw the engine idle sees its blocks free
  mailbox_.Ended(id);
  Tell(node.mapped(), std::move(last));
}

void Engine::EndAll(const absl::Status& why) {
  mailbox_.Stop(why);
  for (Submission& late : mailbox_.Take(/*wait=*/false).submissions) Begin(std::move(late));
  while (!requests_.empty()) {
    Update update;
    update.failed = why;
    End(requests_.begin()->first, std::move(update));
  }
  HandOver();
}

void Engine::AuditIdle() {
  absl::Status status = cache_.AuditSome(kAuditBlocks).status();
  if (status.ok() && cache_.idle() != cache_.total()) {
    status = absl::InternalError(
        absl::StrCat(cache_.total() - cache_.idle(), " KV blocks are referenced though no request is here"));
  }
  if (status.ok()) return;
  metrics_.integrity_errors.Increment();
  Log(LogLevel::kError, "kv_integrity", "error", MessageOf(status));
}

void Engine::Publish() {
  const int64_t preemptions = scheduler_.preemptions();
  metrics_.preemptions.Increment(
      static_cast<double>(preemptions - std::exchange(published_preemptions_, preemptions)));
  metrics_.kv_blocks_total.Set(cache_.total());
  metrics_.kv_blocks_free.Set(cache_.idle());
  metrics_.requests_running.Set(static_cast<double>(scheduler_.running()));
  metrics_.requests_waiting.Set(static_cast<double>(scheduler_.waiting()));
  MutexLock lock(&load_mutex_);
  load_ = {cache_.total(),       cache_.idle(), scheduler_.running(),
           scheduler_.waiting(), steps_.load(), emitted_tokens_};
}

}  // namespace quire::worker
