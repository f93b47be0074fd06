#include "gateway/rpc/group_session.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::gateway {
namespace {

// What the end of a session says of each of its requests: only that it broke, where it didn't end on purpose
// and had room.
absl::Status EndOfRequests(const absl::Status& status) {
  if (absl::IsAborted(status) || absl::IsResourceExhausted(status) || absl::IsUnavailable(status)) {
    return status;
  }
  return absl::UnavailableError(absl::StrCat("the session with the worker group ended: ", status.ToString()));
}

}  // namespace

v1::RequestUpdate EndedWith(const absl::Status& status) {
  v1::RequestUpdate update;
  update.mutable_ended()->set_code(static_cast<int32_t>(status.code()));
  update.mutable_ended()->set_message(MessageOf(status));
  return update;
}

GroupSession::GroupSession(CallTracker& tracker, const Clock& clock, Stub stub, OnEnd on_end)
    : tracker_(tracker),
      clock_(clock),
      stub_(std::move(stub)),
      on_end_(std::move(on_end)),
      heard_us_(clock.NowUs()) {}

void GroupSession::Start(std::shared_ptr<GroupSession> self) {
  self_ = std::move(self);
  stub_->async()->Serve(&*context_, this);
  AddHold();  // writes are started from outside: no OnDone before the last one
  StartRead(&received_);
  StartCall();
}

std::optional<uint64_t> GroupSession::Submit(v1::Submit& submission,
                                             const std::shared_ptr<OnUpdate>& on_update) {
  MutexLock lock(&mutex_);
  if (ended_ || closing_) return std::nullopt;
  const uint64_t tag = ++last_tag_;
  submission.set_tag(tag);
  requests_.emplace(tag, on_update);
  submissions_.push_back(std::move(submission));
  WriteNext();
  return tag;
}

void GroupSession::Grant(uint64_t tag, uint32_t tokens) {
  MutexLock lock(&mutex_);
  if (ended_ || !requests_.contains(tag)) return;
  v1::Credit& credit = *rest_.add_credits();
  credit.set_tag(tag);
  credit.set_tokens(tokens);
  WriteNext();
}

void GroupSession::Abort(uint64_t tag) {
  std::shared_ptr<OnUpdate> last;  // destroyed after the lock is gone
  MutexLock lock(&mutex_);
  const auto it = requests_.find(tag);
  if (it == requests_.end()) return;
  last = std::move(it->second);
  requests_.erase(it);
  const auto of_tag = [tag](const v1::Submit& submission) { return submission.tag() == tag; };
  if (std::erase_if(submissions_, of_tag) > 0) return;  // it never left
  rest_.add_aborts(tag);
  WriteNext();
}

void GroupSession::AbortChoice(uint64_t tag, uint32_t choice) {
  MutexLock lock(&mutex_);
  if (!requests_.contains(tag)) return;
  v1::ChoiceAbort& abort = *rest_.add_choice_aborts();
  abort.set_tag(tag);
  abort.set_choice(choice);
  WriteNext();
}

void GroupSession::WriteNext() {
  const bool nothing = submissions_.empty() && rest_.credits().empty() && rest_.aborts().empty() &&
                       rest_.choice_aborts().empty();
  if (writing_ || ended_ || (nothing && !closing_)) return;
  writing_ = true;
  if (nothing) return StartWritesDone();
  sent_ = std::exchange(rest_, {});
  if (!submissions_.empty()) {
    *sent_.mutable_submit() = std::move(submissions_.front());
    submissions_.pop_front();
  }
  StartWrite(&sent_);
}

void GroupSession::OnWriteDone(bool ok) {
  MutexLock lock(&mutex_);
  writing_ = !ok;  // after a failed one none is tried; reading ends as well
  if (ok) WriteNext();
}

void GroupSession::OnReadDone(bool ok) {
  if (ok) {
    heard_us_ = clock_.NowUs();
    HandOut();
    StartRead(&received_);
    return;
  }
  {
    MutexLock lock(&mutex_);
    ended_ = true;
  }
  RemoveHold();
}

void GroupSession::HandOut() {
  std::vector<std::shared_ptr<OnUpdate>> listeners;  // of each update; null: nobody any more
  listeners.reserve(static_cast<size_t>(received_.updates_size()));
  {
    MutexLock lock(&mutex_);
    for (const v1::RequestUpdate& update : received_.updates()) {
      const auto it = requests_.find(update.tag());
      listeners.push_back(it == requests_.end() ? nullptr : it->second);
      if (it != requests_.end() && update.has_ended()) requests_.erase(it);
    }
    closing_ = closing_ || received_.closing();
    if (closing_) WriteNext();
  }
  for (int i = 0; i < received_.updates_size(); ++i) {
    const auto& listener = listeners[static_cast<size_t>(i)];
    if (listener != nullptr) (*listener)(std::move(*received_.mutable_updates(i)));
  }
}

void GroupSession::OnDone(const grpc::Status& status) {
  const auto self = std::move(self_);
  absl::flat_hash_map<uint64_t, std::shared_ptr<OnUpdate>> requests;
  {
    MutexLock lock(&mutex_);
    ended_ = true;
    requests.swap(requests_);
    submissions_.clear();
  }
  std::exchange(on_end_, nullptr)(this, std::move(stub_));
  const absl::Status end = EndOfRequests(FromGrpc(status));
  for (const auto& [tag, on_update] : requests) (*on_update)(EndedWith(end));
  requests.clear();  // what the callbacks own goes with them
  context_.End();
  tracker_.Remove(this);
}

}  // namespace quire::gateway
