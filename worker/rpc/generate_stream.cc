#include "worker/rpc/generate_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/net/grpc.h"
#include "worker/rpc/generate_service.h"

namespace quire::worker {

GenerateStream::GenerateStream(GenerateService* service, Engine* engine, std::string numerics_id)
    : service_(service), engine_(engine), numerics_id_(std::move(numerics_id)) {}

void GenerateStream::Start(absl::StatusOr<GenerationRequest> request) {
  MutexLock lock(&mutex_);
  if (end_) return;  // the group was lost meanwhile
  if (!request.ok()) return Abort(request.status());
  tokens_.set_choice(request->choice);
  // The lock makes an update that comes at once wait until the ticket is known.
  auto ticket = engine_->Submit(
      *std::move(request), [self = shared_from_this()](Update update) { self->Take(std::move(update)); });
  if (!ticket.ok()) return Abort(ticket.status());
  ticket_ = *ticket;
}

void GenerateStream::Fail(const absl::Status& why) {
  MutexLock lock(&mutex_);
  engine_->Cancel(ticket_);
  if (!end_) end_ = why;
  Send();
}

void GenerateStream::Beat() {
  MutexLock lock(&mutex_);
  if (std::exchange(sent_since_beat_, false) || writing_ || end_) return;
  reply_.Clear();
  Write();
  sent_since_beat_ = false;
}

void GenerateStream::Take(Update update) {
  MutexLock lock(&mutex_);
  if (end_) return;  // it was cancelled meanwhile
  if (update.cached_tokens) cached_tokens_ = update.cached_tokens;
  if (tokens_.ids().empty()) tokens_.set_first_position(static_cast<uint32_t>(update.first_position));
  tokens_.mutable_ids()->Add(update.ids.begin(), update.ids.end());
  tokens_.mutable_logprobs()->Add(update.logprobs.begin(), update.logprobs.end());
  if (update.finished) {
    finished_ = *update.finished == FinishCause::kStop ? v1::FINISH_STOP : v1::FINISH_LENGTH;
    end_ = absl::OkStatus();
  } else if (!update.failed.ok()) {
    end_ = update.failed;
  } else if (tokens_.ids_size() > kMaxUnreadTokens) {
    return Abort(absl::AbortedError(
        absl::StrCat("more than ", kMaxUnreadTokens, " tokens were not read: resume when they are")));
  }
  Send();
}

void GenerateStream::Abort(const absl::Status& why) {
  engine_->Cancel(ticket_);
  cached_tokens_.reset();
  tokens_.clear_ids();
  tokens_.clear_logprobs();
  finished_.reset();
  end_ = why;
  Send();
}

void GenerateStream::Send() {
  if (writing_ || ended_) return;
  reply_.Clear();
  if (cached_tokens_) {
    reply_.mutable_accepted()->set_cached_tokens(static_cast<uint32_t>(*cached_tokens_));
    reply_.mutable_accepted()->set_numerics_id(numerics_id_);
    cached_tokens_.reset();
  } else if (!tokens_.ids().empty()) {
    *reply_.mutable_tokens() = tokens_;
    tokens_.clear_ids();
    tokens_.clear_logprobs();
  } else if (finished_) {
    reply_.mutable_finished()->set_choice(tokens_.choice());
    reply_.mutable_finished()->set_reason(*finished_);
    finished_.reset();
  } else if (end_) {
    ended_ = true;
    return Finish(ToGrpc(*end_));
  } else {
    return;
  }
  Write();
}

void GenerateStream::Write() {
  writing_ = true;
  sent_since_beat_ = true;
  StartWrite(&reply_);
}

void GenerateStream::OnWriteDone(bool ok) {
  MutexLock lock(&mutex_);
  writing_ = false;
  if (ok) return Send();
  Abort(absl::CancelledError("the reader is gone"));
}

void GenerateStream::OnCancel() {
  MutexLock lock(&mutex_);
  Abort(absl::CancelledError("the caller cancelled or is gone"));
}

void GenerateStream::OnDone() { service_->Forget(this); }

}  // namespace quire::worker
