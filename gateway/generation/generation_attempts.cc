// The part of Generation that runs a request on worker groups: one attempt after another, each going on where
// the last one ended.
#include <algorithm>
#include <utility>

#include "base/core/log.h"
#include "base/core/status.h"
#include "gateway/generation/generation.h"
#include "gateway/generation/wire_messages.h"

namespace quire::gateway {
namespace {

// Positions with text that waits for a grant or for the client: past that the worker is not read on.
constexpr uint64_t kMaxHeldPositions = 1024;

// The group ended or refused the attempt, and is well.
bool IsBusy(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsAborted(status);
}

// It would go the same way on every group.
bool IsTheRequestsOwn(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsInternal(status);
}

absl::Status AsSeenByClient(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) return status;
  if (absl::IsInternal(status))
    return absl::InternalError("the worker failed on this request: send it again");
  return absl::UnavailableError("the worker groups that served this request failed: send it again");
}

std::optional<SampledToken> SampledAt(const v1::Tokens& tokens, int i) {
  if (tokens.logprobs_size() == 0) return std::nullopt;
  SampledToken sampled{.token = ChanceOf(tokens.ids(i), tokens.logprobs(i))};
  if (tokens.top_logprobs_size() == 0) return sampled;
  const v1::TopLogprobs& top = tokens.top_logprobs(i);
  for (int k = 0; k < std::min(top.ids_size(), top.logprobs_size()); ++k) {
    sampled.top.push_back(ChanceOf(top.ids(k), top.logprobs(k)));
  }
  return sampled;
}

// Another try, a moment later, may be answered otherwise.
bool WorthAskingAgain(const absl::StatusOr<v1::ReadmitReply>& reply) {
  if (!reply.ok()) return !absl::IsInvalidArgument(reply.status()) && !absl::IsUnimplemented(reply.status());
  const v1::RefusalReason reason = reply->refusal().reason();
  return reason == v1::REFUSAL_NO_CAPACITY || reason == v1::REFUSAL_QUEUE_FULL ||
         reason == v1::REFUSAL_RATE || reason == v1::REFUSAL_LEDGER;
}

}  // namespace

void Generation::SubmitTo(const v1::Placement& placement) {
  if (AcceptedTokens() > 0 || (scores_ != nullptr && scores_->next() > 1)) {
    services_.metrics.Migrations(placement.numerics_id() == placement_.numerics_id()).Increment();
  }
  placement_ = placement;
  services_.activity.Placed(request_.model, placement.numerics_id());
  running_attempt_ = accountant_.NewAttempt(request_.id, placement);
  heard_us_ = services_.clock.NowUs();
  ungranted_tokens_ = 0;
  const uint32_t attempt = running_attempt_;
  worker_call_ = services_.workers.Generate(
      placement.address(),
      GenerateMessage(request_, attempt, choices_, scores_.get(), placement.group_epoch()),
      [mailbox = mailbox_, attempt, &clock = services_.clock](v1::RequestUpdate update) {
        mailbox->Push(WorkerEvent{attempt, std::move(update), clock.NowUs()});
      });
}

void Generation::StopWorker() {
  running_attempt_ = 0;
  pulse_.reset();
  worker_call_.reset();
}

void Generation::Handle(const WorkerEvent& event) {
  // What one part of it ends, the next one is for nobody.
  const auto matters = [&] { return event.attempt == running_attempt_ && !answer_.ended(); };
  const v1::RequestUpdate& update = event.update;
  if (!matters()) return;
  heard_us_ = services_.clock.NowUs();
  if (update.has_accepted()) {
    attempts_.Accepted();
    if (!cached_tokens_) cached_tokens_ = update.accepted().cached_tokens();
  }
  if (update.has_scores()) TakeScores(update.scores());
  if (update.has_tokens() && matters()) TakeTokens(update.tokens());
  if (update.has_finished() && matters()) {
    FinishChoice(update.finished());
  }
  if (update.has_ended() && matters()) HandleEnd(StatusOf(update.ended()), event.at_us);
}

void Generation::TakeTokens(const v1::Tokens& tokens) {
  const int count = tokens.ids_size();
  ungranted_tokens_ += count;
  if (!Follows(tokens))
    return AttemptFailed(
        absl::UnavailableError("the worker sent tokens out of order, or logprobs that are none"));
  const uint32_t choice = tokens.choice();
  if (choices_[choice].ended) return;  // by a stop string, while others go on
  const uint64_t cached = cached_tokens_.value_or(0);
  if (!accountant_.Accept(request_.id, running_attempt_, count, cached, services_.clock.NowUs())) return;
  for (int i = 0; i < count && !choices_[choice].ended; ++i) {
    answer_.Push(choice, tokens.ids(i), SampledAt(tokens, i));
    choices_[choice].ids.push_back(tokens.ids(i));
    choices_[choice].ended = answer_.choice(choice).ended();
  }
  ObserveToken();
  if (!choices_[choice].ended) return;  // else a stop string: what follows doesn't count
  if (answer_.ended()) return StopWorker();
  worker_call_->AbortChoice(choice);
}

void Generation::TakeScores(const v1::PromptScores& scores) {
  ungranted_tokens_ += scores.logprobs_size();
  if (scores_ == nullptr || !scores_->Append(scores)) {
    AttemptFailed(
        absl::UnavailableError("the worker sent a prompt's scores out of order, or some that are none"));
  }
}

// Whether they are what comes next of a choice, with logprobs as asked for, which are some.
bool Generation::Follows(const v1::Tokens& tokens) const {
  if (tokens.choice() >= choices_.size()) return false;
  if (choices_[tokens.choice()].ended) return true;  // nobody reads them
  if (scores_ != nullptr && !scores_->whole()) return false;
  const uint64_t so_far = choices_[tokens.choice()].ids.size();
  const v1::Sampling& sampling = request_.sampling;
  const int with_logprobs = sampling.logprobs() || sampling.top_logprobs() > 0 ? tokens.ids_size() : 0;
  const int with_top = sampling.top_logprobs() > 0 ? tokens.ids_size() : 0;
  return tokens.first_position() == so_far && so_far + tokens.ids_size() <= request_.positions_each() &&
         tokens.logprobs_size() == with_logprobs && tokens.top_logprobs_size() == with_top &&
         AreLogprobs(tokens.logprobs()) && AreLogprobs(tokens.top_logprobs());
}

void Generation::FinishChoice(const v1::Finished& finished) {
  const uint32_t choice = finished.choice();
  if (choice >= choices_.size()) {
    return AttemptFailed(absl::UnavailableError("the worker ended a choice that nobody asked for"));
  }
  if (scores_ != nullptr && !scores_->whole()) {
    return AttemptFailed(absl::UnavailableError("the worker ended a choice before its prompt's scores"));
  }
  choices_[choice].ended = true;
  answer_.Finish(choice, finished.reason() == v1::FINISH_STOP ? Ending::Kind::kStop : Ending::Kind::kLength);
}

uint64_t Generation::AcceptedTokens() const {
  uint64_t tokens = 0;
  for (const ChoiceSoFar& choice : choices_) tokens += choice.ids.size();
  return tokens;
}

void Generation::ObserveToken() {
  if (request_.max_tokens == 0) return;  // nobody is shown it
  const int64_t now_us = services_.clock.NowUs();
  if (!first_token_us_) {
    first_token_us_ = now_us;
    services_.activity.FirstToken(request_.model, now_us - started_us_, now_us);
    services_.metrics.first_token_seconds.Observe(static_cast<double>(now_us - started_us_) / 1e6);
  } else {
    services_.metrics.inter_token_seconds.Observe(static_cast<double>(now_us - last_token_us_) / 1e6);
  }
  last_token_us_ = now_us;
}

void Generation::ObserveEnd() {
  std::optional<ModelActivity::Pace> pace;
  if (first_token_us_) {
    pace = ModelActivity::Pace{AcceptedTokens() / request_.choices, last_token_us_ - *first_token_us_};
  }
  services_.activity.End(request_.model, pace, services_.clock.NowUs());
}

// Lets the worker go on unless too much of it waits here already.
void Generation::ReadOn() {
  const int64_t due = ungranted_tokens_ - ungranted_tokens_ % WorkerClient::kGrantTokens;
  if (worker_call_ == nullptr || due == 0 || answer_.held() > kMaxHeldPositions) return;
  if (!Listens()) heard_us_ = services_.clock.NowUs();
  ungranted_tokens_ -= due;
  worker_call_->Grant(due);
}

// All that may be read ahead was read: a worker that says nothing more then is not silent.
bool Generation::Listens() const { return ungranted_tokens_ < WorkerClient::kReadAhead; }

void Generation::HandleEnd(const absl::Status& status, int64_t at_us) {
  if (IsBusy(status)) {
    const int64_t delay_us = attempts_.Backoff(awake_us_);
    if (attempts_.TimeLeftUs(awake_us_) > delay_us) return LookElsewhere(/*failed=*/false, delay_us);
    StopWorker();
    return Fail(absl::UnavailableError("all worker groups are busy: retry later"));
  }
  // The connection may have been let down from this side.
  if (absl::IsUnavailable(status) && pulse_ != nullptr && pulse_->SleptAbout(at_us)) {
    NoteBroken(status);
    return LookElsewhere(/*failed=*/false, 0);
  }
  AttemptFailed(status.ok() ? absl::UnavailableError("the worker ended the answer early") : status);
}

void Generation::NoteBroken(const absl::Status& why) {
  if (const auto left_out = services_.broken_lines.Take(request_.key_id, services_.clock.NowUs())) {
    Log(LogLevel::kWarn, "generate_broken", "request", request_.id.ToHex(), "group", placement_.group_id(),
        "epoch", placement_.group_epoch(), "tokens", AcceptedTokens(), "reason", MessageOf(why),
        "lines_left_out", *left_out);
  }
}

void Generation::AttemptFailed(const absl::Status& why) {
  NoteBroken(why);
  if (!IsTheRequestsOwn(why) && attempts_.Failed(awake_us_)) {
    return LookElsewhere(/*failed=*/true, 0);
  }
  StopWorker();
  Fail(AsSeenByClient(why));
}

void Generation::LookElsewhere(bool failed, int64_t delay_us) {
  StopWorker();
  group_failed_ = failed;
  readmit_at_us_ = services_.clock.NowUs() + delay_us;
}

void Generation::SendReadmit() {
  readmit_at_us_.reset();
  services_.metrics.readmissions.Increment();
  const int64_t wait_us = attempts_.TimeLeftUs(awake_us_);
  v1::ReadmitRequest message = ReadmitMessage(request_, AcceptedTokens(), placement_, wait_us);
  if (group_failed_) {
    message.set_failed_group_id(placement_.group_id());
    message.set_failed_group_epoch(placement_.group_epoch());
  }
  readmit_call_ = services_.coordinator.Readmit(
      message,
      [mailbox = mailbox_](absl::StatusOr<v1::ReadmitReply> reply) { mailbox->Push(std::move(reply)); });
}

void Generation::Handle(const absl::StatusOr<v1::ReadmitReply>& reply) {
  readmit_call_.reset();
  if (answer_.ended()) return;
  if (reply.ok() && reply->has_placement()) return SubmitTo(reply->placement());
  // A coordinator that came after the Admit broke knows nothing of it: its resend brings a placement.
  if (!granted_ && (admit_call_ != nullptr || admit_again_us_)) {
    if (reply.ok() && reply->refusal().reason() == v1::REFUSAL_CLOSED) return;
  }
  if (!reply.ok()) NoteBroken("readmit_broken", reply.status());
  const int64_t delay_us = attempts_.Backoff(awake_us_);
  if (WorthAskingAgain(reply) && attempts_.TimeLeftUs(awake_us_) > delay_us) {
    readmit_at_us_ = services_.clock.NowUs() + delay_us;
    return;
  }
  if (reply.ok()) return answer_.Refuse(reply->refusal(), v1::SETTLE_SERVER_ERROR);
  Fail(absl::UnavailableError("no worker group could take the request: retry later"));
}

}  // namespace quire::gateway
