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
      on_lost_(std::move(on_lost)),
      metrics_(*metrics),
      mailbox_(options.limits.max_sequences + options.waiting_room),
      flight_(runner, clock, &metrics_),
      cache_(options.kv_blocks),
      scheduler_(options.limits, &cache_),
      emitter_(std::move(on_updates)) {
  Publish();
  thread_ = std::thread([this] { Run(); });
}

Engine::~Engine() { Stop(absl::UnavailableError("the worker is stopping")); }

absl::StatusOr<uint64_t> Engine::Submit(std::shared_ptr<const SharedRequest> request, ReplyTo to) {
  return mailbox_.Submit(std::move(request), to);
}

void Engine::Cancel(uint64_t ticket) { mailbox_.Cancel(ticket, flight_.begun()); }

void Engine::CancelChoice(uint64_t ticket, uint32_t choice) {
  mailbox_.Cancel(ticket, flight_.begun(), choice);
}

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
    if (const absl::Status status = RunStep(); !status.ok()) return Lose(status);
  }
  Land();
}

absl::Status Engine::RunStep() {
  if (Step step = scheduler_.Schedule(costs_.prices()); !step.sequences.empty()) {
    Announce(step);
    QUIRE_RETURN_IF_ERROR(flight_.Launch(std::move(step)));
    scheduler_.Launched();
    if (flight_.has_room()) {  // the next one is planned while it runs
      HandOver();              // so that nothing is left for one whose cancel is in the mail
      return absl::OkStatus();
    }
  }
  QUIRE_ASSIGN_OR_RETURN(const LandedStep landed, Collect());
  Measure(landed.step.work, landed.took_us);
  Apply(landed.step, landed.result);
  Publish();
  HandOver();
  return absl::OkStatus();
}

absl::StatusOr<LandedStep> Engine::Collect() {
  QUIRE_ASSIGN_OR_RETURN(LandedStep landed, flight_.Collect());
  const uint64_t step = landed.step.plan.step;
  scheduler_.Collected(step);
  for (const Cancelled& cancelled : cancelled_) {
    if (cancelled.held_by <= step) NoteFreed(cancelled);
  }
  std::erase_if(cancelled_, [step](const Cancelled& cancelled) { return cancelled.held_by <= step; });
  return landed;
}

void Engine::Land() {
  while (!flight_.empty()) {
    if (const absl::Status status = Collect().status(); !status.ok()) return Lose(status);
  }
  Publish();
}

void Engine::Lose(const absl::Status& why) {
  if (!flight_.empty()) scheduler_.Collected(flight_.last_step());  // nothing runs any more
  EndAll(absl::UnavailableError(absl::StrCat("the worker group is lost: ", MessageOf(why))));
  on_lost_(why);
}

// Waits for work; false when the engine is told to stop.
bool Engine::ReadMail() {
  do {
    if (idle()) {
      HandOver();  // of those that needed no step
      AuditIdle();
      flight_.Rest();
    }
    Mail mail = mailbox_.Take(/*wait=*/idle());
    for (Submission& submission : mail.submissions) Begin(std::move(submission));
    for (const Cancellation& cancellation : mail.cancellations) EndCancelled(cancellation);
    if (!mail.stop.ok()) {
      EndAll(mail.stop);
      return false;
    }
  } while (idle());
  return true;
}

void Engine::Begin(Submission submission) {
  Request& request = requests_[submission.ticket];
  request.to = submission.to;
  request.scored = std::make_shared<ScoredPrompt>(*submission.request);
  for (size_t nth = 0; nth < submission.request->choices.size(); ++nth) {
    const absl::Status begun = BeginChoice(submission, nth, request);
    if (!begun.ok()) return End(submission.ticket, begun);
  }
  for (const auto& sequence : request.choices) scheduler_.Add(sequence.get());
  if (!request.choices.empty()) return;
  Announce(request, /*cached_tokens=*/0);
  End(submission.ticket, absl::OkStatus());
}

absl::Status Engine::BeginChoice(const Submission& submission, size_t nth, Request& request) {
  const ChoiceStart& start = submission.request->choices[nth];
  Update update;
  update.choice = start.index;
  if (start.done) {
    update.finished = FinishCause::kDone;
  } else {
    const int64_t context =
        submission.request->scaled_rope ? options_.scaled_context : options_.plain_context;
    auto sequence =
        std::make_unique<Sequence>(submission.ticket, submission.request, context, nth, request.scored);
    QUIRE_RETURN_IF_ERROR(sequence->grammar_error());
    update.finished = sequence->finished();  // the resumed ids were all that was asked for
    if (!update.finished) {
      QUIRE_RETURN_IF_ERROR(scheduler_.CheckFits(*sequence));
      request.choices.push_back(std::move(sequence));
      return absl::OkStatus();
    }
    mailbox_.ChoiceEnded(submission.ticket);
  }
  request.finished.push_back(std::move(update));
  return absl::OkStatus();
}

void Engine::EndCancelled(const Cancellation& cancellation) {
  const auto it = requests_.find(cancellation.ticket);
  if (it == requests_.end()) return;
  if (!cancellation.choice) {
    NoteCancelled(cancellation);
    Remove(cancellation.ticket);
    return;
  }
  const auto choice = std::ranges::find_if(
      it->second.choices, [&](const auto& sequence) { return sequence->choice() == *cancellation.choice; });
  if (choice == it->second.choices.end()) return;  // it has ended by itself
  NoteCancelled(cancellation);
  Update update;
  update.choice = *cancellation.choice;
  update.finished = FinishCause::kDone;
  Tell(it->second.to, std::move(update));
  EndChoice(**choice);
}

void Engine::NoteCancelled(const Cancellation& cancellation) {
  metrics_.cancels.Increment();  // first: who saw the engine idle sees it counted
  if (flight_.empty()) {
    NoteFreed({.step = cancellation.step});
  } else {
    cancelled_.push_back({.held_by = flight_.last_step(), .step = cancellation.step});
  }
}

void Engine::NoteFreed(const Cancelled& cancelled) {
  most_steps_after_cancel_ = std::max(most_steps_after_cancel_, flight_.begun().load() - cancelled.step);
  metrics_.steps_after_cancel_max.Set(static_cast<double>(most_steps_after_cancel_));
}

// Tells those of whom a choice is admitted for the first time how much of their prompt is cached.
void Engine::Announce(const Step& step) {
  for (const Sequence* sequence : step.admitted) {
    metrics_.prefix_cache_hit_tokens.Increment(static_cast<double>(sequence->computed()));
    Request& request = requests_.at(sequence->ticket());
    if (!request.announced)
      Announce(request, std::min(sequence->computed(), std::ssize(sequence->request().prompt_ids)));
  }
}

void Engine::Announce(Request& request, int64_t cached_tokens) {
  request.announced = true;
  Update update;
  update.cached_tokens = cached_tokens;
  Tell(request.to, std::move(update));
  for (Update& finished : std::exchange(request.finished, {})) Tell(request.to, std::move(finished));
}

void Engine::Measure(const StepWork& work, int64_t took_us) {
  costs_.Observe(work, took_us);
  if (work.decode_rows == 0 || work.prompt_rows == 0) return;
  metrics_.mixed_steps.Increment();
  const int64_t target_us = options_.limits.target_step_ms * 1000;
  if (target_us > 0 && took_us > target_us) metrics_.steps_over_target.Increment();
}

void Engine::Apply(const Step& step, const StepResult& result) {
  updates_.reserve(updates_.size() + step.sequences.size());
  std::vector<Failure> failures;
  int64_t first_row = 0;
  size_t wanted = 0;
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    const SequencePlan& plan = step.plan.sequences[i];
    const auto count = static_cast<size_t>(plan.wanted);
    if (step.sequences[i] != nullptr) {  // else it ended while the step was in flight
      auto failure =
          ApplyRows(*step.sequences[i], {.plan = plan,
                                         .first_row = first_row,
                                         .wanted = std::span(step.plan.wanted).subspan(wanted, count),
                                         .tokens = std::span(result.tokens).subspan(wanted, count),
                                         .owners = std::span(step.sampled).subspan(wanted, count)});
      if (failure) failures.push_back(*std::move(failure));
    }
    first_row += plan.rows;
    wanted += count;
  }
  if (auto dearest = SpendOnMasks()) failures.push_back(*std::move(dearest));
  // Of a request's failures the first counts: that of a row, since its blocks must be forgotten.
  std::stable_partition(failures.begin(), failures.end(),
                        [](const Failure& f) { return f.blocks_are_wrong; });
  for (const Failure& failure : failures) Fail(failure);
}

std::optional<Engine::Failure> Engine::SpendOnMasks() {
  int64_t us = 0;
  const Sequence* dearest = nullptr;
  for (const auto& [ticket, request] : requests_) {
    for (const auto& choice : request.choices) {
      us += choice->TakeMaskUs();
      if (dearest == nullptr || choice->mean_mask_us() > dearest->mean_mask_us()) dearest = choice.get();
    }
  }
  metrics_.mask_seconds.Increment(static_cast<double>(us) / 1e6);
  if (masks_.Spend(us) || dearest == nullptr) return std::nullopt;
  return Failure{dearest->ticket(), absl::InvalidArgumentError(
                                        "grammar: beside others it takes too long to follow: simplify it")};
}

// The sequence may be gone afterwards.
std::optional<Engine::Failure> Engine::ApplyRows(Sequence& sequence, const LandedRows& rows) {
  if (std::ranges::any_of(rows.tokens, &SampledToken::failed)) {
    metrics_.failed_rows.Increment();
    return Failure{
        sequence.ticket(),
        absl::InternalError("no token can be sampled for this request: the model's output was not "
                            "finite, or logit_bias, min_tokens and grammar left nothing to choose"),
        /*blocks_are_wrong=*/true};
  }
  sequence.Advance(rows.plan.rows, cache_);
  TellScores(sequence, rows);
  std::optional<Failure> failure;
  for (size_t i = 0; i < rows.tokens.size() && !failure; ++i) {
    if (rows.wanted[i].scored == -1) failure = ApplySample(*rows.owners[i], rows.tokens[i]);
  }
  return failure;
}

void Engine::TellScores(Sequence& sequence, const LandedRows& rows) {
  Update update;
  update.scores = true;
  for (size_t i = 0; i < rows.wanted.size() && rows.wanted[i].scored != -1; ++i) {
    const int64_t position = rows.plan.position + rows.wanted[i].row - rows.first_row + 1;
    if (!sequence.TakeScore(position)) continue;
    if (update.logprobs.empty()) update.first_position = position;
    const SampledToken& score = rows.tokens[i];
    update.logprobs.push_back(score.logprob);
    update.top_logprobs.insert(update.top_logprobs.end(), score.top_logprobs.begin(),
                               score.top_logprobs.end());
  }
  if (update.logprobs.empty()) return;
  metrics_.scored_tokens.Increment(static_cast<double>(update.logprobs.size()));
  Tell(requests_.at(sequence.ticket()).to, std::move(update));
}

std::optional<Engine::Failure> Engine::ApplySample(Sequence& sequence, const SampledToken& token) {
  const SamplingParams& sampling = sequence.request().sampling;
  Update update;
  update.choice = sequence.choice();
  update.first_position = std::ssize(sequence.output());
  update.ids.push_back(token.id);
  if (sampling.logprobs) update.logprobs.push_back(token.logprob);
  update.top_logprobs = token.top_logprobs;
  sequence.Append(token.id);
  ++emitted_tokens_;
  metrics_.emitted_tokens.Increment();
  const absl::Status& error = sequence.grammar_error();
  if (error.ok()) update.finished = sequence.finished();
  Tell(requests_.at(sequence.ticket()).to, std::move(update));
  if (!error.ok()) return Failure{sequence.ticket(), error};
  if (sequence.finished()) EndChoice(sequence);
  return std::nullopt;
}

void Engine::EndChoice(Sequence& sequence) {
  const uint64_t ticket = sequence.ticket();
  Request& request = requests_.at(ticket);
  Remove(sequence);
  std::erase_if(request.choices, [&](const auto& choice) { return choice.get() == &sequence; });
  if (request.choices.empty()) return End(ticket, absl::OkStatus());
  mailbox_.ChoiceEnded(ticket);
}

void Engine::Fail(const Failure& failure) {
  const auto it = requests_.find(failure.ticket);
  if (it == requests_.end()) return;  // another choice of it failed, too
  // What came of the failed row can't be trusted, nor what stands on it: its own blocks, and, since they may
  // be shared, those of its other choices.
  for (const auto& choice : it->second.choices) {
    if (failure.blocks_are_wrong) choice->ForgetBlocks(cache_);
  }
  End(failure.ticket, failure.why);
}

void Engine::Tell(ReplyTo to, Update update) {
  update.to = to;
  updates_.push_back(std::move(update));
}

void Engine::HandOver() {
  if (!updates_.empty()) emitter_.Post(std::exchange(updates_, {}));
}

void Engine::Remove(Sequence& sequence) {
  scheduler_.Remove(&sequence);
  flight_.Forget(&sequence);
}

ReplyTo Engine::Remove(uint64_t ticket) {
  const auto node = requests_.extract(ticket);
  for (const auto& choice : node.mapped().choices) Remove(*choice);
  Publish();  // first: who saw the engine idle sees its blocks free
  mailbox_.Ended(ticket);
  return node.mapped().to;
}

void Engine::End(uint64_t ticket, absl::Status why) {
  Update last;
  last.ended = std::move(why);
  Tell(Remove(ticket), std::move(last));
}

void Engine::EndAll(const absl::Status& why) {
  mailbox_.Stop(why);
  for (Submission& late : mailbox_.Take(/*wait=*/false).submissions) Begin(std::move(late));
  while (!requests_.empty()) End(requests_.begin()->first, why);
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
  load_ = {cache_.total(),       cache_.idle(),          scheduler_.running(),
           scheduler_.waiting(), flight_.begun().load(), emitted_tokens_};
}

}  // namespace quire::worker
