#include "gateway/api/text_threads.h"

#include <optional>

#include "base/core/log.h"

namespace quire::gateway {

void JobOwner::Leave() {
  gone_ = true;
  if (then_) std::exchange(then_, nullptr)();
}

void JobOwner::WhenGone(std::function<void()> then) {
  if (then && gone_) return then();
  then_ = std::move(then);
}

TextThreads::TextThreads(int count_per_account)
    : queue_({.waiting = kMaxWaiting,
              .waiting_per_account = kMaxWaitingPerAccount,
              .running_per_account = static_cast<size_t>(count_per_account)}) {
  for (int i = 0; i < count_per_account + 1; ++i) {
    threads_.emplace_back([this] {
      while (std::optional<TurnQueue::Turn> turn = queue_.Pop()) {
        turn->job();
        turn->job = nullptr;  // it may hold megabytes
        queue_.Done(turn->account);
      }
    });
  }
}

void TextThreads::Stop() {
  queue_.Close();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

// What was thrown is not logged: it may quote the client.
http::ApiError TextThreads::WorkThrew() {
  Log(LogLevel::kError, "text_work_threw");
  return InternalError();
}

}  // namespace quire::gateway
