#include "base/core/on_threads.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace quire {

void ForEachOnThreads(int threads, int64_t count, absl::FunctionRef<void(int64_t)> body) {
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(i);
  };
  std::vector<std::thread> helpers;
  try {
    while (std::ssize(helpers) + 1 < std::min<int64_t>(threads, count)) helpers.emplace_back(work);
  } catch (const std::system_error&) {  // no more threads: those that there are do it
  }
  work();
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace quire
