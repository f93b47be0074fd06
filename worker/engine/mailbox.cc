#include "worker/engine/mailbox.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quire::worker {

absl::StatusOr<uint64_t> Mailbox::Submit(std::shared_ptr<const SharedRequest> request, ReplyTo to) {
  // One at least, for the request itself: it may have nothing to compute and yet a long prompt.
  const int64_t choices =
      std::max<int64_t>(1, std::ranges::count(request->choices, false, &ChoiceStart::done));
  MutexLock lock(&mutex_);
  if (!refusal_.ok()) return refusal_;
  if (choices > max_choices_) {
    return absl::InvalidArgumentError(absl::StrCat("the request has ", choices,
                                                   " choices and this group holds ", max_choices_,
                                                   " at most: ask for fewer"));
  }
  if (places_taken_ + choices > max_choices_) {
    return absl::ResourceExhaustedError(absl::StrCat("the group holds ", places_taken_,
                                                     " choices of at most ", max_choices_, ", too many for ",
                                                     choices, " more: ask for another placement"));
  }
  const uint64_t ticket = next_ticket_++;
  live_.emplace(ticket, choices);
  places_taken_ += choices;
  mail_.submissions.push_back({ticket, std::move(request), to});
  return ticket;
}

void Mailbox::Cancel(uint64_t ticket, const std::atomic<uint64_t>& steps, std::optional<uint32_t> choice) {
  MutexLock lock(&mutex_);
  if (live_.contains(ticket)) mail_.cancellations.push_back({ticket, steps.load(), choice});
}

void Mailbox::Refuse(absl::Status why) {
  MutexLock lock(&mutex_);
  if (refusal_.ok()) refusal_ = std::move(why);
}

void Mailbox::Stop(absl::Status why) {
  MutexLock lock(&mutex_);
  if (refusal_.ok()) refusal_ = why;
  if (mail_.stop.ok()) mail_.stop = std::move(why);
}

bool Mailbox::AwaitEmpty(absl::Duration timeout) {
  MutexLock lock(&mutex_);
  const auto empty = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return live_.empty(); };
  return mutex_.AwaitWithTimeout(absl::Condition(&empty), timeout);
}

Mail Mailbox::Take(bool wait) {
  MutexLock lock(&mutex_);
  if (wait) mutex_.Await(absl::Condition(this, &Mailbox::HasMail));
  Mail mail = std::exchange(mail_, Mail());
  mail_.stop = mail.stop;  // for ever
  return mail;
}

void Mailbox::ChoiceEnded(uint64_t ticket) {
  MutexLock lock(&mutex_);
  --live_.at(ticket);
  --places_taken_;
}

void Mailbox::Ended(uint64_t ticket) {
  MutexLock lock(&mutex_);
  const auto it = live_.find(ticket);
  places_taken_ -= it->second;
  live_.erase(it);
}

bool Mailbox::HasMail() const {
  return !mail_.submissions.empty() || !mail_.cancellations.empty() || !mail_.stop.ok();
}

}  // namespace quire::worker
