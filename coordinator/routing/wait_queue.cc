#include "coordinator/routing/wait_queue.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace quire::coordinator {
namespace {

constexpr double kIntervalStep = 0.1;
constexpr double kMaxIntervalS = 5;  // a pause without requests says nothing about the drain
constexpr double kMaxRetryAfterS = 60;

void Decrement(absl::flat_hash_map<std::string, size_t>& counts, const std::string& key) {
  auto it = counts.find(key);
  if (it != counts.end() && --it->second == 0) counts.erase(it);
}

}  // namespace

WaitQueue::Verdict WaitQueue::Push(Waiting waiting) {
  if (waiting.running) return PushRunning(std::move(waiting));
  if (order_.size() - running_ >= limits_.max_waiting) return Verdict::kFull;
  auto account = per_account_.find(waiting.account);
  if (account != per_account_.end() && account->second >= limits_.max_per_account)
    return Verdict::kAccountFull;
  Insert(order_.end(), std::move(waiting));
  return Verdict::kQueued;
}

// An account's next turn is one after its last that waits, or the present one: so each account has one
// request in every round, however many it has.
WaitQueue::Verdict WaitQueue::PushRunning(Waiting waiting) {
  if (running_ >= limits_.max_running) return Verdict::kFull;
  waiting.turn = running_ > 0 ? order_.front().turn : 0;
  auto it = order_.begin();
  for (size_t i = 0; i < running_; ++i, ++it) {
    if (it->account == waiting.account) waiting.turn = it->turn + 1;
  }
  while (it != order_.begin() && std::prev(it)->turn > waiting.turn) --it;
  Insert(it, std::move(waiting));
  return Verdict::kQueued;
}

void WaitQueue::Insert(Order::iterator before, Waiting waiting) {
  if (waiting.running) {
    ++running_;
    ++running_per_model_[waiting.model];
  } else {
    ++per_account_[waiting.account];
  }
  ++per_model_[waiting.model];
  const RequestId id = waiting.id;
  by_id_[id] = order_.insert(before, std::move(waiting));
}

void WaitQueue::Erase(Order::iterator it) {
  if (it->running) {
    --running_;
    Decrement(running_per_model_, it->model);
  } else {
    Decrement(per_account_, it->account);
  }
  Decrement(per_model_, it->model);
  by_id_.erase(it->id);
  order_.erase(it);
}

bool WaitQueue::Remove(const RequestId& id) {
  auto it = by_id_.find(id);
  if (it == by_id_.end()) return false;
  Erase(it->second);
  return true;
}

std::vector<WaitQueue::Waiting> WaitQueue::TakeExpired(int64_t now_us) {
  std::vector<Waiting> expired;
  for (auto it = order_.begin(); it != order_.end();) {
    const auto current = it++;
    if (current->deadline_us > now_us) continue;
    expired.push_back(*current);
    Erase(current);
  }
  return expired;
}

std::optional<int64_t> WaitQueue::NextDeadlineUs() const {
  if (order_.empty()) return std::nullopt;
  return std::min_element(order_.begin(), order_.end(),
                          [](const Waiting& a, const Waiting& b) { return a.deadline_us < b.deadline_us; })
      ->deadline_us;
}

void WaitQueue::NoteServed(int64_t now_us) {
  const double interval_s = std::min(static_cast<double>(now_us - last_served_us_) / 1e6, kMaxIntervalS);
  if (served_interval_s_ == 0) {
    served_interval_s_ = interval_s;
  } else {
    served_interval_s_ += kIntervalStep * (interval_s - served_interval_s_);
  }
  last_served_us_ = now_us;
}

uint32_t WaitQueue::RetryAfterSeconds() const {
  const double wait_s = std::ceil(served_interval_s_ * static_cast<double>(order_.size()));
  return static_cast<uint32_t>(std::clamp(wait_s, 1.0, kMaxRetryAfterS));
}

bool WaitQueue::HasWaiting(const std::string& model, bool running) const {
  return running ? running_per_model_.contains(model) : per_model_.contains(model);
}

int64_t WaitQueue::OldestAgeUs(int64_t now_us) const {
  int64_t oldest_us = now_us;
  for (const Waiting& waiting : order_) oldest_us = std::min(oldest_us, waiting.since_us);
  return now_us - oldest_us;
}

}  // namespace quire::coordinator
