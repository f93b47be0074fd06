#include "gateway/generation/generation.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "base/core/log.h"
#include "base/core/status.h"
#include "gateway/generation/wire_messages.h"

namespace quire::gateway {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kAdmitAgainAfterUs = 200'000;

ChoiceRules RulesOf(const GenerationRequest& request) {
  ChoiceRules rules{.stops = request.stops,
                    .stop_ids = {},
                    .reasoning = request.reasoning,
                    .loop_guard = request.loop_guard,
                    .calls = request.calls,
                    .echo_alone = request.max_tokens == 0};
  const v1::Sampling& sampling = request.sampling;
  if (!sampling.ignore_eos()) rules.stop_ids = {sampling.stop_ids().begin(), sampling.stop_ids().end()};
  return rules;
}

// A broken Admit that may go better next time.
bool WorthAsking(const absl::Status& status) {
  return !absl::IsInvalidArgument(status) && !absl::IsUnimplemented(status) &&
         !absl::IsUnauthenticated(status) && !absl::IsPermissionDenied(status) && !absl::IsInternal(status);
}

}  // namespace

absl::Status NobodyAdmits() { return absl::UnavailableError("the coordinator does not answer: retry later"); }

Generation::Generation(const GenerationServices& services, GenerationRequest request)
    : services_(services),
      accountant_(services.ledger.accountant()),
      until_admitted_(std::move(request.until_admitted)),
      request_(std::move(request)),
      started_us_(services.clock.NowUs()),
      mailbox_(std::make_shared<Mailbox<Event>>()),
      answer_(request_.text->tokenizer(), RulesOf(request_), request_.choices),
      attempts_(services.max_wait.count() * 1000, request_.seed),
      awake_(services.clock),
      choices_(request_.choices) {
  if (request_.scores_prompt) {
    scores_ = std::make_shared<PromptScores>(request_.prompt, request_.sampling.top_logprobs());
  }
  services_.metrics.streams_open.Increment();
  services_.activity.Begin(request_.model);
  services_.ledger.Watch(request_.id, [mailbox = mailbox_] {
    if (mailbox->size() == 0) mailbox->Push(Woken());  // whatever lies there wakes it as well
  });
  SendAdmit();
}

Generation::~Generation() {
  admit_call_.reset();
  readmit_call_.reset();
  StopWorker();
  services_.ledger.Unwatch(request_.id);
  accountant_.Finish(request_.id, Reason(), services_.clock.NowUs());
  services_.metrics.streams_open.Decrement();
  ObserveEnd();
  services_.metrics.Requests(Outcome()).Increment();
  if (ClientLeft()) services_.metrics.client_gone.Increment();
}

// Asked at the end. The handler goes on until an ending is handed out, and only a client that left stops it
// before; one that leaves after its last byte has not left.
bool Generation::ClientLeft() const {
  if (!ending_) return true;
  const bool all_written = written_ == handed_out_;
  return !all_written && (aborted_ || !ending_->is_error());
}

v1::SettleReason Generation::Reason() const {
  if (ClientLeft()) return written_ > 0 ? v1::SETTLE_CLIENT_GONE : v1::SETTLE_ABANDONED;
  return ending_ ? ending_->reason : v1::SETTLE_SERVER_ERROR;
}

const char* Generation::Outcome() const {
  if (ClientLeft()) return "gone";
  return ending_ ? NameOf(ending_->kind) : NameOf(Ending::Kind::kFailed);
}

// ---- admission ----

void Generation::SendAdmit() {
  admit_again_us_.reset();
  const v1::AdmitRequest message = AdmitMessage(request_, services_.gateway_id, AdmitTimeLeftUs());
  const AdmitCall call = accountant_.BeginAdmit({.id = request_.id,
                                                 .choices = request_.choices,
                                                 .prompt_tokens = request_.prompt.size(),
                                                 .max_tokens = request_.max_tokens},
                                                services_.clock.NowUs());
  admit_call_ = services_.coordinator.Admit(
      message,
      [mailbox = mailbox_, call](v1::AdmitReply reply) {
        mailbox->Push(AdmitEvent{call, std::move(reply)});
      },
      [mailbox = mailbox_](absl::Status status) { mailbox->Push(AdmitEnded{std::move(status)}); });
}

void Generation::Handle(const AdmitEvent& event) {
  if (accountant_.OnAdmitReply(event.call, event.reply, services_.clock.NowUs()) && !granted_) {
    granted_ = true;
    until_admitted_.reset();
    services_.metrics.prompt_tokens.Increment(static_cast<double>(request_.prompt.size()));
  }
  if (event.reply.has_placement() && !HasOrSeeksGroup() && !answer_.ended())
    SubmitTo(event.reply.placement());
  if (event.reply.has_refusal() && !granted_) {
    until_admitted_.reset();
    StopWorker();
    answer_.Refuse(event.reply.refusal(), v1::SETTLE_ABANDONED);
  }
}

// A stream that ends without grant or refusal says nothing: the coordinator may have died before or after its
// commit, or ends and leaves who waits to its successor.
void Generation::Handle(const AdmitEnded& event) {
  admit_call_.reset();
  if (granted_ && !HasOrSeeksGroup() && !answer_.ended()) {  // its placement got lost
    return LookElsewhere(/*failed=*/false, attempts_.Backoff(awake_us_));
  }
  if (granted_ || answer_.failed()) return;  // a whole answer still needs its grant
  NoteBroken("admit_broken", event.status);
  if (AdmitTimeLeftUs() == 0 || !WorthAsking(event.status)) return GiveUpAdmission();
  admit_again_us_ = services_.clock.NowUs() + kAdmitAgainAfterUs;
}

void Generation::GiveUpAdmission() {
  NoteBroken("admission_given_up", NobodyAdmits());
  admit_call_.reset();
  readmit_call_.reset();
  admit_again_us_.reset();
  readmit_at_us_.reset();
  StopWorker();
  Fail(NobodyAdmits(), v1::SETTLE_ABANDONED);
}

// However often the coordinator goes away, a request waits for its admission no longer than it would in one
// queue.
int64_t Generation::AdmitTimeLeftUs() const {
  return std::max<int64_t>(0, services_.max_wait.count() * 1000 - awake_us_);
}

// ---- what may be written ----

boost::asio::awaitable<Step> Generation::Next(std::optional<milliseconds> limit) {
  const int64_t deadline_us = limit ? services_.clock.NowUs() + limit->count() * 1000 : INT64_MAX;
  const boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  LookAfterWriting();
  while (!aborted_ && !ending_) {
    const int64_t now_us = Look();
    DoWhatIsDue(now_us);
    Step step = TakeAllowed();
    if (!step.empty()) co_return step;
    if (now_us >= deadline_us || Reached()) break;
    ReadOn();
    KeepLooking(executor);
    const int64_t wake_us = std::min(deadline_us, NextDueUs());
    std::vector<Event> events;
    if (wake_us == INT64_MAX) {
      events = co_await mailbox_->Wait();
    } else {
      events = co_await mailbox_->WaitFor(milliseconds(std::max<int64_t>(0, wake_us - now_us) / 1000 + 1));
    }
    Look();
    for (const Event& event : events) std::visit([this](const auto& e) { Handle(e); }, event);
  }
  co_return Step();
}

bool Generation::Reached() const {
  if (until_ == Until::kStep) return false;
  return granted_ || (until_ == Until::kPlaced && HasOrSeeksGroup());
}

boost::asio::awaitable<Step> Generation::NextUntil(Until until, std::optional<milliseconds> limit) {
  until_ = until;
  Step step = co_await Next(limit);
  until_ = Until::kStep;
  co_return step;
}

boost::asio::awaitable<Step> Generation::UntilPlaced() { return NextUntil(Until::kPlaced, std::nullopt); }

boost::asio::awaitable<Step> Generation::UntilGranted(std::optional<milliseconds> limit) {
  return NextUntil(Until::kGranted, limit);
}

void Generation::DoWhatIsDue(int64_t now_us) {
  if (!granted_ && !answer_.failed() && services_.CoordinatorIsGone(now_us)) GiveUpAdmission();
  if (admit_again_us_ && now_us >= *admit_again_us_) SendAdmit();
  if (answer_.ended()) return;
  if (readmit_at_us_ && now_us >= *readmit_at_us_) SendReadmit();
  // While a slow client was written to, nobody listened: what came then is still to be read.
  if (running_attempt_ == 0 || !Listens() || now_us < SilentFromUs() || mailbox_->size() > 0) return;
  AttemptFailed(absl::UnavailableError("the worker group has fallen silent"));
}

int64_t Generation::NextDueUs() const {
  int64_t due_us = admit_again_us_.value_or(INT64_MAX);
  // Whoever looks as often as patience lasts misses no absence's end.
  if (!granted_) due_us = std::min(due_us, looked_us_ + services_.PatienceLeftUs(looked_us_));
  // How long it was awake shows only to who looks.
  const bool is_patient = !granted_ || readmit_at_us_ || readmit_call_ != nullptr;
  if (is_patient) due_us = std::min(due_us, looked_us_ + AwakeTime::kRoundUs);
  if (answer_.ended()) return due_us;
  if (readmit_at_us_) due_us = std::min(due_us, *readmit_at_us_);
  return due_us;
}

// Tells a worker's silence and its broken connection from a sleep of this process, in which it heard nobody
// and kept nobody's connection: who slept judges nobody.
int64_t Generation::Look() {
  looked_us_ = services_.clock.NowUs();
  awake_us_ = awake_.NowUs();
  if (pulse_ == nullptr) return looked_us_;
  pulse_->Look();
  heard_us_ = std::max(heard_us_, pulse_->slept_us().value_or(heard_us_));
  return looked_us_;
}

// While the handler wrote it heard nobody. That was no sleep: a connection that broke meanwhile broke.
void Generation::LookAfterWriting() {
  const int64_t before_us = looked_us_;
  if (Look() - before_us > Pulse::kSleptUs) heard_us_ = looked_us_;
}

// One timer for the attempt, instead of one per token: at each beat, whoever waits looks.
void Generation::KeepLooking(const boost::asio::any_io_executor& executor) {
  if (running_attempt_ == 0 || pulse_ != nullptr) return;
  pulse_ = Pulse::Start(executor, services_.clock, [mailbox = mailbox_] {
    if (mailbox->size() == 0) mailbox->Push(Woken());
  });
}

// Whatever its group says to anybody says that the group is well.
int64_t Generation::SilentFromUs() const {
  const int64_t group_us = worker_call_ != nullptr ? worker_call_->heard_us() : 0;
  return std::max(heard_us_, group_us) + services_.silence_limit.count() * 1000;
}

Step Generation::TakeAllowed() {
  const Allowance allowance = accountant_.MayDeliver(request_.id, services_.clock.NowUs());
  if (!answer_.failed()) ApplyEnd(allowance.end);
  const uint64_t on_the_way = handed_out_ - written_;
  const uint64_t room = allowance.positions - std::min(allowance.positions, on_the_way);
  Step step = answer_.Take(room, allowance.end == EndCause::kBudget);
  if (services_.cut_off && !step.ending && !ending_) {  // also where a whole answer waits for a grant
    Fail(absl::UnavailableError("the server is shutting down: send the request again"));
    step.ending = answer_.Take(0, false).ending;
  }
  const auto hand_out = [this](const auto& part) {
    handed_out_ += part.positions;
    reasoning_handed_out_ += part.reasoning_positions;
  };
  std::for_each(step.pieces.begin(), step.pieces.end(), hand_out);
  std::for_each(step.ends.begin(), step.ends.end(), hand_out);
  const bool says = !step.pieces.empty() || !step.ends.empty();
  if (says && scores_ != nullptr && scores_->whole() && !std::exchange(scores_handed_out_, true)) {
    step.prompts.push_back({.choice = 0, .scores = scores_});
  }
  if (step.ending) {
    StopWorker();
    ending_ = step.ending;
  }
  return step;
}

void Generation::ApplyEnd(EndCause cause) {
  switch (cause) {
    case EndCause::kRevoked: {
      v1::Refusal revoked;
      revoked.set_reason(v1::REFUSAL_KEY);
      return answer_.Refuse(std::move(revoked), v1::SETTLE_REVOKED);
    }
    case EndCause::kClosed:
    case EndCause::kStopped:
      return Fail(
          absl::UnavailableError("the answer can't be accounted for just now: send the request again"),
          v1::SETTLE_STOPPED);
    case EndCause::kBudget:
    case EndCause::kNone:
      return;
  }
}

void Generation::NoteBroken(const char* event, const absl::Status& why) {
  if (const auto left_out = services_.broken_lines.Take(request_.key_id, services_.clock.NowUs())) {
    Log(LogLevel::kWarn, event, "request", request_.id.ToHex(), "reason", MessageOf(why), "lines_left_out",
        *left_out);
  }
}

void Generation::Fail(absl::Status error, v1::SettleReason reason) { answer_.Fail(std::move(error), reason); }

void Generation::Written(uint32_t choice, uint64_t positions) {
  if (positions == 0) return;
  written_ += positions;
  accountant_.Delivered(request_.id, choice, positions);
  if (request_.max_tokens > 0) services_.metrics.tokens_delivered.Increment(static_cast<double>(positions));
}

Usage Generation::UsageAtEnd() const {
  Usage usage = accountant_.UsageAfter(request_.id, handed_out_ - written_);
  usage.reasoning_tokens = reasoning_handed_out_;
  return usage;
}

void Generation::Describe(http::RequestRecord& record) const {
  const Usage usage = accountant_.UsageAfter(request_.id, 0);
  record.model = request_.model;
  record.finish = Outcome();
  record.prompt_tokens = usage.counts.prompt;
  record.cached_tokens = usage.counts.cached;
  record.completion_tokens = usage.counts.completion;
  record.cost_nano_usd = usage.cost_nano_usd;  // of what was delivered, so 0 where that is nothing
}

void Generation::EndWith(const Ending& ending) {
  if (ending_ && written_ == handed_out_) return;
  ending_ = ending;
  Stop();
}

void Generation::Abort() {
  aborted_ = true;
  Stop();
}

void Generation::Stop() {
  admit_call_.reset();
  readmit_call_.reset();
  StopWorker();
  mailbox_->Push(Woken());
}

}  // namespace quire::gateway
