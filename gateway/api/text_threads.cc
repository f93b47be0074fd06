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

TextThreads::TextThreads(int count) {
  for (int i = 0; i < count; ++i) {
    threads_.emplace_back([this] {
      while (std::optional<TurnQueue::Job> job = queue_.Pop()) (*job)();
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
