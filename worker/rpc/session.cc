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
  for (const v1::Credit& credit : received_.credits()) Grant(credit.tag(), credit.tokens());
  for (const uint64_t tag : received_.aborts()) Abort(tag);
  for (const v1::ChoiceAbort& abort : received_.choice_aborts()) {
    const auto ticket = outbox_.DropChoice(abort.tag(), abort.choice());
    if (ticket) engine_->CancelChoice(*ticket, abort.choice());
  }
  Send();
  if (!finished_) StartRead(&received_);
}

void Session::Submit(const v1::Submit& submit) {
  const auto compiles = Take(submit, service_->Validate(submit.request()));
  // Without the lock: what is compiled already is told at once.
  if (compiles != nullptr) service_->Compile(submit.request().grammar(), id_, submit.tag(), compiles);
}

std::shared_ptr<const SharedRequest> Session::Take(const v1::Submit& submit,
                                                   absl::StatusOr<std::shared_ptr<SharedRequest>> request) {
  MutexLock lock(&mutex_);
  if (end_) return nullptr;
  const uint64_t tag = submit.tag();
  if (tag <= std::exchange(last_tag_, tag)) {
    End(absl::InvalidArgumentError(
        absl::StrCat("tag ", tag, " is not above those before: a session uses each tag once, in order")));
    return nullptr;
  }
  const int64_t open = outbox_.size() + std::ssize(compiling_);
  if (open >= kMaxChoices) {
    const auto full = absl::ResourceExhaustedError(
        absl::StrCat(kMaxChoices, " choices of this session are open or not read to their end"));
    // Refusals, too, wait to be read.
    open < 2 * kMaxChoices ? Refuse(tag, full) : End(full);
  } else if (!request.ok()) {
    Refuse(tag, request.status());
  } else if (submit.request().has_grammar()) {
    compiling_[tag] = {*request, submit.credit()};
    return *request;
  } else {
    Open(tag, *std::move(request), submit.credit());
  }
  return nullptr;
}

void Session::Compiled(uint64_t tag, CompileQueue::Result grammar) {
  MutexLock lock(&mutex_);
  const auto it = compiling_.find(tag);
  if (it == compiling_.end()) return;  // nobody waits for it any more
  const Compiling compiled = std::move(it->second);
  compiling_.erase(it);
  if (grammar.ok()) {
    compiled.request->grammar = *std::move(grammar);
    Open(tag, compiled.request, compiled.credit);
    if (close_) outbox_.GrantAll();
  } else {
    Refuse(tag, grammar.status());
  }
  Send();
}

void Session::Open(uint64_t tag, std::shared_ptr<const SharedRequest> request, int64_t credit) {
  const int64_t choices = std::ssize(request->choices);
  // The lock makes an update that comes at once wait until the outbox knows the request.
  const absl::StatusOr<uint64_t> ticket = engine_->Submit(std::move(request), {id_, tag});
  if (!ticket.ok()) return Refuse(tag, ticket.status());
  outbox_.Open(tag, *ticket, choices, credit);
}

void Session::Grant(uint64_t tag, int64_t tokens) {
  const auto it = compiling_.find(tag);
  if (it == compiling_.end()) return outbox_.Grant(tag, tokens);
  it->second.credit += tokens;
}

void Session::Abort(uint64_t tag) {
  if (compiling_.erase(tag) > 0) return;
  if (const auto ticket = outbox_.Drop(tag)) engine_->Cancel(*ticket);
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
  for (const auto& [tag, compiling] : compiling_) Refuse(tag, why);  // the engine takes nothing more
  compiling_.clear();
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
  compiling_.clear();
}

void Session::Send() {
  if (writing_ || finished_) return;
  if (outbox_.NextFrame(frame_)) return Write();
  if (!end_ && close_ && outbox_.empty() && compiling_.empty()) {
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
