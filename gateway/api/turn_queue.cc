#include "gateway/api/turn_queue.h"

#include <algorithm>
#include <utility>

namespace quire::gateway {

std::optional<TurnQueue::JobId> TurnQueue::TryPush(const std::string& account, Job job) {
  MutexLock lock(&mutex_);
  if (closed_ || size_ >= capacity_) return std::nullopt;
  auto [found, is_new] = by_account_.try_emplace(account);
  if (found->second.size() >= capacity_per_account_) return std::nullopt;
  if (is_new) turns_.push_back(account);
  found->second.push_back({++last_id_, std::move(job)});
  ++size_;
  return last_id_;
}

std::optional<TurnQueue::Job> TurnQueue::Pop() {
  MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &TurnQueue::Ready));
  if (size_ == 0) return std::nullopt;
  std::string account = std::move(turns_.front());
  turns_.pop_front();
  const auto found = by_account_.find(account);
  std::deque<Waiting>& line = found->second;
  std::optional<Job> job(std::move(line.front().job));
  line.pop_front();
  --size_;
  if (line.empty()) {
    by_account_.erase(found);
  } else {
    turns_.push_back(std::move(account));
  }
  return job;
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
    turns_.erase(std::find(turns_.begin(), turns_.end(), account));
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
