#include "gateway/api/text_threads.h"

#include <optional>

namespace quire::gateway {

TextThreads::TextThreads(int count) {
  for (int i = 0; i < count; ++i) {
    threads_.emplace_back([this] {
      while (std::optional<absl::AnyInvocable<void()>> job = queue_.Pop()) (*job)();
    });
  }
}

void TextThreads::Stop() {
  queue_.Close();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace quire::gateway
