#include "coordinator/routing/wait_queue.h"

#include <algorithm>
#include <cmath>

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
  if (order_.size() >= limits_.max_waiting) return Verdict::kFull;
  auto account = per_account_.find(waiting.account);
  if (account != per_account_.end() && account->second >= limits_.max_per_account)
    return Verdict::kAccountFull;
  Insert(order_.end(), std::move(waiting));
  return Verdict::kQueued;
}

void WaitQueue::PushFront(Waiting waiting) { Insert(order_.begin(), std::move(waiting)); }

void WaitQueue::Insert(Order::iterator before, Waiting waiting) {
  ++per_account_[waiting.account];
  ++per_model_[waiting.model];
  const RequestId id = waiting.id;
  by_id_[id] = order_.insert(before, std::move(waiting));
}

void WaitQueue::Erase(Order::iterator it) {
  Decrement(per_account_, it->account);
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

bool WaitQueue::HasWaiting(const std::string& model) const { return per_model_.contains(model); }

}  // namespace quire::coordinator
