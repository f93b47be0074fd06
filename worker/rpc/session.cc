#include "worker/rpc/session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/net/grpc.h"
#include "worker/rpc/inference_service.h"

namespace quire::worker {

Session::Session(uint64_t id, InferenceService* service, Engine* engine, grpc::CallbackServerContext* context)
    : id_(id), service_(service), engine_(engine), context_(context), outbox_(service->model().numerics_id) {}

void Session::OnReadDone(bool ok) {
  if (ok && received_.has_submit()) Submit(received_.submit());
  MutexLock lock(&mutex_);
  if (!ok) {  // its gateway asks for no more; one that is gone is cancelled
    reads_done_ = true;
    return CloseWith(absl::OkStatus());
  }
  for (const v1::Credit& credit : received_.credits()) outbox_.Grant(credit.tag(), credit.tokens());
  for (const uint64_t tag : received_.aborts()) {
    if (const auto ticket = outbox_.Drop(tag)) engine_->Cancel(*ticket);
  }
  for (const v1::ChoiceAbort& abort : received_.choice_aborts()) {
    const auto ticket = outbox_.DropChoice(abort.tag(), abort.choice());
    if (ticket) engine_->CancelChoice(*ticket, abort.choice());
  }
  Send();
  if (!finished_) StartRead(&received_);
}

void Session::Submit(const v1::Submit& submit) {
  const auto request = service_->Validate(submit.request());
  MutexLock lock(&mutex_);
  if (end_) return;
  const uint64_t tag = submit.tag();
  if (tag <= std::exchange(last_tag_, tag)) {
    return End(absl::InvalidArgumentError(
        absl::StrCat("tag ", tag, " is not above those before: a session uses each tag once, in order")));
  }
  if (outbox_.size() >= kMaxChoices) {
    const auto full = absl::ResourceExhaustedError(
        absl::StrCat(kMaxChoices, " choices of this session are open or not read to their end"));
    // Refusals, too, wait to be read.
    return outbox_.size() < 2 * kMaxChoices ? Refuse(tag, full) : End(full);
  }
  if (!request.ok()) return Refuse(tag, request.status());
  // The lock makes an update that comes at once wait until the outbox knows the request.
  const absl::StatusOr<uint64_t> ticket = engine_->Submit(*request, {id_, tag});
  if (!ticket.ok()) return Refuse(tag, ticket.status());
  outbox_.Open(tag, *ticket, std::ssize((*request)->choices), submit.credit());
}

void Session::Refuse(uint64_t tag, const absl::Status& why) {
  outbox_.Refuse(tag, why);
  service_->CountRefusal();
}

void Session::Take(std::span<Update> updates) {
  MutexLock lock(&mutex_);
  if (end_) return;
  for (Update& update : updates) {
    if (const auto unread = outbox_.Take(std::move(update))) engine_->Cancel(*unread);
  }
  Send();
}

void Session::Beat() {
  MutexLock lock(&mutex_);
  // OnCancel comes. The context is there as long as Finish wasn't called.
  if (writing_ && ++unread_beats_ >= kMaxUnreadBeats) return context_->TryCancel();
  if (std::exchange(sent_since_beat_, false) || writing_ || finished_) return;
  frame_.Clear();
  Write();
  sent_since_beat_ = false;
}

void Session::Fail(const absl::Status& why) {
  MutexLock lock(&mutex_);
  End(why);
  Send();
}

void Session::Close(const absl::Status& why) {
  MutexLock lock(&mutex_);
  CloseWith(why);
}

void Session::CloseWith(const absl::Status& why) {
  if (!close_) close_ = why;
  outbox_.GrantAll();
  Send();
}

void Session::End(const absl::Status& why) {
  if (end_) return;
  end_ = why;
  Send();  // what can be, but for what a frame's bound holds back
  for (const uint64_t ticket : outbox_.DropAll()) engine_->Cancel(ticket);
}

void Session::Send() {
  if (writing_ || finished_) return;
  if (outbox_.NextFrame(frame_)) return Write();
  if (!end_ && close_ && outbox_.empty()) {
    if (reads_done_) {
      end_ = close_;
    } else if (!std::exchange(said_closing_, true)) {
      frame_.set_closing(true);
      return Write();
    }
  }
  if (!end_) return;
  finished_ = true;
  Finish(ToGrpc(*end_));
}

void Session::Write() {
  writing_ = true;
  sent_since_beat_ = true;
  unread_beats_ = 0;
  StartWrite(&frame_);
}

void Session::OnWriteDone(bool ok) {
  MutexLock lock(&mutex_);
  writing_ = false;
  if (!ok) End(absl::CancelledError("the reader is gone"));
  Send();
}

void Session::OnCancel() {
  MutexLock lock(&mutex_);
  End(absl::CancelledError("the gateway cancelled or is gone"));
  Send();
}

void Session::OnDone() { service_->Forget(id_); }

}  // namespace quire::worker
