#include "gateway/generation/generation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::gateway {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxPrefixHashes = 64;
constexpr int kMaxReadmits = 3;
constexpr int64_t kAdmitAgainAfterUs = 200'000;

std::vector<TokenId> StopIds(const v1::Sampling& sampling) {
  if (sampling.ignore_eos()) return {};
  return {sampling.stop_ids().begin(), sampling.stop_ids().end()};
}

v1::AdmitRequest AdmitMessage(const GenerationRequest& request, const GenerationServices& services,
                              int64_t wait_us) {
  v1::AdmitRequest admit;
  admit.set_request_id(request.id.ToBytes());
  admit.set_attempt(1);
  admit.set_key_id(request.key_id);
  admit.set_model(request.model);
  admit.set_choices(1);
  admit.set_prompt_tokens(request.prompt.size());
  admit.set_max_tokens(request.max_tokens);
  admit.set_gateway_id(services.gateway_id);
  admit.set_rope_wanted(request.rope == v1::ROPE_SCALED ? v1::ROPE_WANTED_SCALED : v1::ROPE_WANTED_PLAIN);
  admit.set_max_wait_ms(static_cast<uint32_t>(wait_us / 1000 + 1));
  return admit;
}

template <typename Message>
void AddPrefixHashes(const GenerationRequest& request, Message& message) {
  const size_t tokens = std::min(request.prompt.size(), kMaxPrefixHashes * kBlockTokens);
  const auto prefix = std::span(request.prompt).first(tokens);
  for (const Digest& hash : PrefixBlockHashes(request.cache_salt, RopeVariant_Name(request.rope), prefix)) {
    message.add_prefix_hashes(ToBytes(hash));
  }
}

// The worker refused to begin: another group, or the same a moment later, may take it.
bool MayGoElsewhere(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status) ||
         absl::IsFailedPrecondition(status);
}

// A broken Admit that may go better next time.
bool WorthAsking(const absl::Status& status) {
  return !absl::IsInvalidArgument(status) && !absl::IsUnimplemented(status) &&
         !absl::IsUnauthenticated(status) && !absl::IsPermissionDenied(status) && !absl::IsInternal(status);
}

absl::Status AsSeenByClient(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) return status;
  if (absl::IsInternal(status))
    return absl::InternalError("the worker failed on this request: send it again");
  return absl::UnavailableError("the worker group that served this request failed: send it again");
}

}  // namespace

Generation::Generation(const GenerationServices& services, GenerationRequest request)
    : services_(services),
      accountant_(services.ledger.accountant()),
      request_(std::move(request)),
      started_us_(services.clock.NowUs()),
      mailbox_(std::make_shared<http::Mailbox<Event>>()),
      answer_(request_.text->tokenizer(), request_.stops, StopIds(request_.sampling)) {
  services_.metrics.streams_open.Increment();
  services_.ledger.Watch(request_.id, [mailbox = mailbox_] { mailbox->Push(Woken()); });
  SendAdmit();
}

Generation::~Generation() {
  admit_call_.reset();
  StopWorker();
  services_.ledger.Unwatch(request_.id);
  accountant_.Finish(request_.id, Reason(), services_.clock.NowUs());
  services_.metrics.streams_open.Decrement();
  services_.metrics.Requests(Outcome()).Increment();
  if (ClientLeft()) services_.metrics.client_gone.Increment();
}

// A client that leaves after its last byte has not left.
bool Generation::ClientLeft() const { return aborted_ && !(ending_ && written_ == handed_out_); }

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
  v1::AdmitRequest message = AdmitMessage(request_, services_, AdmitTimeLeftUs());
  AddPrefixHashes(request_, message);
  const AdmitCall call = accountant_.BeginAdmit({.id = request_.id,
                                                 .choices = 1,
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
    services_.metrics.prompt_tokens.Increment(static_cast<double>(request_.prompt.size()));
  }
  if (event.reply.has_placement() && attempt_ == 0) SubmitTo(event.reply.placement());
  if (event.reply.has_refusal() && !granted_) {
    StopWorker();
    answer_.Refuse(event.reply.refusal(), v1::SETTLE_ABANDONED);
  }
}

// A stream that ends without grant or refusal says nothing: the coordinator may have died before or after its
// commit.
void Generation::Handle(const AdmitEnded& event) {
  if (granted_ && attempt_ == 0 && !answer_.ended()) return AskForAnotherGroup();  // its placement got lost
  if (granted_ || answer_.failed()) return;  // a whole answer still needs its grant
  if (AdmitTimeLeftUs() == 0 || !WorthAsking(event.status)) {
    StopWorker();
    return Fail(absl::UnavailableError("the coordinator does not answer: retry later"), v1::SETTLE_ABANDONED);
  }
  Log(LogLevel::kWarn, "admit_broken", "request", request_.id.ToHex(), "reason", MessageOf(event.status));
  admit_again_us_ = services_.clock.NowUs() + kAdmitAgainAfterUs;
}

// However often the coordinator goes away, a request waits for its admission no longer than it would in one
// queue.
int64_t Generation::AdmitTimeLeftUs() const {
  const int64_t waited_us = services_.clock.NowUs() - started_us_;
  return std::max<int64_t>(0, services_.max_wait.count() * 1000 - waited_us);
}

// ---- the worker ----

void Generation::SubmitTo(const v1::Placement& placement) {
  placement_ = placement;
  accepted_ = false;
  attempt_ = accountant_.NewAttempt(request_.id);
  v1::GenerateRequest message;
  message.set_request_id(request_.id.ToBytes());
  message.set_attempt(attempt_);
  message.mutable_prompt_ids()->Assign(request_.prompt.begin(), request_.prompt.end());
  message.add_choices()->set_index(0);
  *message.mutable_sampling() = request_.sampling;
  message.set_seed(request_.seed);
  message.set_rope_variant(request_.rope);
  message.set_cache_salt(request_.cache_salt);
  message.set_max_tokens(request_.max_tokens);
  message.set_group_epoch(placement.group_epoch());
  generate_call_ = services_.workers.Generate(
      placement.address(), message,
      [mailbox = mailbox_, attempt = attempt_](v1::GenerateReply reply) {
        mailbox->Push(GenerateEvent{attempt, std::move(reply)});
      },
      [mailbox = mailbox_, attempt = attempt_](absl::Status status) {
        mailbox->Push(GenerateEnded{attempt, std::move(status)});
      });
}

void Generation::Handle(const GenerateEvent& event) {
  if (event.attempt != attempt_ || answer_.ended()) return;
  switch (event.reply.event_case()) {
    case v1::GenerateReply::kAccepted:
      accepted_ = true;
      cached_tokens_ = event.reply.accepted().cached_tokens();
      return;
    case v1::GenerateReply::kTokens:
      return TakeTokens(event.reply.tokens());
    case v1::GenerateReply::kFinished:
      return answer_.Finish(event.reply.finished().reason() == v1::FINISH_STOP ? Ending::Kind::kStop
                                                                               : Ending::Kind::kLength);
    default:
      return;
  }
}

void Generation::TakeTokens(const v1::Tokens& tokens) {
  const uint64_t count = tokens.ids_size();
  if (tokens.first_position() != answer_.tokens() || answer_.tokens() + count > request_.max_tokens) {
    StopWorker();
    return Fail(absl::InternalError("the worker sent tokens out of order: send the request again"));
  }
  if (!accountant_.Accept(request_.id, attempt_, count, cached_tokens_, services_.clock.NowUs())) return;
  for (const TokenId id : tokens.ids()) {
    answer_.Push(id);
    if (answer_.ended()) return StopWorker();  // a stop string: what follows doesn't count
  }
  ObserveToken();
}

void Generation::ObserveToken() {
  const int64_t now_us = services_.clock.NowUs();
  if (last_token_us_ == 0) {
    services_.metrics.first_token_seconds.Observe(static_cast<double>(now_us - started_us_) / 1e6);
  } else {
    services_.metrics.inter_token_seconds.Observe(static_cast<double>(now_us - last_token_us_) / 1e6);
  }
  last_token_us_ = now_us;
}

void Generation::Handle(const GenerateEnded& event) {
  if (event.attempt != attempt_ || answer_.ended()) return;
  if (!accepted_ && MayGoElsewhere(event.status) && readmits_ < kMaxReadmits) return AskForAnotherGroup();
  Log(LogLevel::kWarn, "generate_broken", "request", request_.id.ToHex(), "group", placement_.group_id(),
      "reason", MessageOf(event.status));
  Fail(event.status.ok() ? absl::InternalError("the worker ended the answer early: send the request again")
                         : AsSeenByClient(event.status));
}

void Generation::AskForAnotherGroup() {
  ++readmits_;
  services_.metrics.readmissions.Increment();
  v1::ReadmitRequest message;
  message.set_request_id(request_.id.ToBytes());
  message.set_attempt(attempt_ + 1);
  message.set_model(request_.model);
  message.set_tokens_so_far(request_.prompt.size() + written_);
  message.set_max_tokens(request_.max_tokens);
  AddPrefixHashes(request_, message);
  message.set_failed_group_id(placement_.group_id());
  message.set_failed_group_epoch(placement_.group_epoch());
  message.set_numerics_id(placement_.numerics_id());
  services_.coordinator.Readmit(message, [mailbox = mailbox_](absl::StatusOr<v1::ReadmitReply> reply) {
    mailbox->Push(std::move(reply));
  });
}

void Generation::Handle(const absl::StatusOr<v1::ReadmitReply>& reply) {
  if (answer_.ended()) return;
  if (!reply.ok()) return Fail(absl::UnavailableError("no worker group could take the request: retry later"));
  if (reply->has_refusal()) return answer_.Refuse(reply->refusal(), v1::SETTLE_SERVER_ERROR);
  accountant_.OnPlacement(request_.id, reply->placement());
  SubmitTo(reply->placement());
}

// ---- what may be written ----

boost::asio::awaitable<Step> Generation::Next(std::optional<milliseconds> limit) {
  const int64_t deadline_us = limit ? services_.clock.NowUs() + limit->count() * 1000 : INT64_MAX;
  while (!aborted_) {
    const int64_t now_us = services_.clock.NowUs();
    if (admit_again_us_ && now_us >= *admit_again_us_) SendAdmit();
    Step step = TakeAllowed();
    if (!step.empty()) co_return step;
    if (now_us >= deadline_us) break;
    const int64_t wake_us = std::min(deadline_us, admit_again_us_.value_or(INT64_MAX));
    std::vector<Event> events;
    if (wake_us == INT64_MAX) {
      events = co_await mailbox_->Wait();
    } else {
      events = co_await mailbox_->WaitFor(milliseconds((wake_us - now_us) / 1000 + 1));
    }
    for (const Event& event : events) std::visit([this](const auto& e) { Handle(e); }, event);
  }
  co_return Step();
}

Step Generation::TakeAllowed() {
  const Allowance allowance = accountant_.MayDeliver(request_.id, services_.clock.NowUs());
  if (!answer_.failed()) ApplyEnd(allowance.end);
  if (services_.cut_off && !answer_.ended()) {
    Fail(absl::UnavailableError("the server is shutting down: send the request again"));
  }
  const uint64_t on_the_way = handed_out_ - written_;
  const uint64_t room = allowance.positions - std::min(allowance.positions, on_the_way);
  Step step = answer_.Take(room, allowance.end == EndCause::kBudget);
  for (const Piece& piece : step.pieces) handed_out_ += piece.positions;
  if (step.ending) {
    StopWorker();
    handed_out_ += step.ending->positions;
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

void Generation::Fail(absl::Status error, v1::SettleReason reason) { answer_.Fail(std::move(error), reason); }

void Generation::Written(uint64_t positions) {
  if (positions <= written_) return;
  const uint64_t more = positions - std::exchange(written_, positions);
  accountant_.Delivered(request_.id, 0, more);
  services_.metrics.tokens_delivered.Increment(static_cast<double>(more));
}

Usage Generation::UsageAtEnd() const { return accountant_.UsageAfter(request_.id, handed_out_ - written_); }

void Generation::Abort() {
  aborted_ = true;
  admit_call_.reset();
  StopWorker();
  mailbox_->Push(Woken());
}

}  // namespace quire::gateway
