#include "gateway/api/turn_queue.h"

#include <algorithm>
#include <utility>

namespace quire::gateway {

bool TurnQueue::MayRun(const std::string& account) const {
  const auto found = running_.find(account);
  return found == running_.end() || found->second < limits_.running_per_account;
}

std::optional<TurnQueue::JobId> TurnQueue::TryPush(const std::string& account, Job job) {
  MutexLock lock(&mutex_);
  if (closed_ || size_ >= limits_.waiting) return std::nullopt;
  auto [found, is_new] = by_account_.try_emplace(account);
  if (found->second.size() >= limits_.waiting_per_account) return std::nullopt;
  if (is_new && MayRun(account)) turns_.push_back(account);
  found->second.push_back({++last_id_, std::move(job)});
  ++size_;
  return last_id_;
}

std::optional<TurnQueue::Turn> TurnQueue::Pop() {
  MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &TurnQueue::Ready));
  if (turns_.empty()) return std::nullopt;
  Turn turn{.account = std::move(turns_.front()), .job = nullptr};
  turns_.pop_front();
  const auto found = by_account_.find(turn.account);
  std::deque<Waiting>& line = found->second;
  turn.job = std::move(line.front().job);
  line.pop_front();
  --size_;
  ++running_[turn.account];
  if (line.empty()) {
    by_account_.erase(found);
  } else if (MayRun(turn.account)) {
    turns_.push_back(turn.account);
  }
  return turn;
}

void TurnQueue::Done(const std::string& account) {
  MutexLock lock(&mutex_);
  const bool had_its_share = !MayRun(account);
  const auto found = running_.find(account);
  if (--found->second == 0) running_.erase(found);
  if (had_its_share && by_account_.contains(account)) turns_.push_back(account);
}

bool TurnQueue::Remove(const std::string& account, JobId id) {
  Job removed;  // destroyed after the lock: it may hold megabytes
  MutexLock lock(&mutex_);
  const auto found = by_account_.find(account);
  if (found == by_account_.end()) return false;
  std::deque<Waiting>& line = found->second;
  const auto at = std::find_if(line.begin(), line.end(), [id](const Waiting& w) { return w.id == id; });
  if (at == line.end()) return false;
  removed = std::move(at->job);
  line.erase(at);
  --size_;
  if (line.empty()) {
    by_account_.erase(found);
    turns_.erase(std::remove(turns_.begin(), turns_.end(), account), turns_.end());
  }
  return true;
}

void TurnQueue::Close() {
  MutexLock lock(&mutex_);
  closed_ = true;
}

size_t TurnQueue::size() const {
  MutexLock lock(&mutex_);
  return size_;
}

}  // namespace quire::gateway
