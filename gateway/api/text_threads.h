// Threads for the long computations of large requests: to parse and encode a megabyte takes about a second,
// and the streams that share the request's I/O thread must not wait for it. One for the gateway; any I/O
// thread calls Run. Always: whoever waits in Run is answered; so it is stopped before the server is
// destroyed.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/core/bounded_queue.h"
#include "base/http/mailbox.h"
#include "gateway/api/error_response.h"

namespace quire::gateway {

class TextThreads {
 public:
  explicit TextThreads(int count);
  ~TextThreads() { Stop(); }

  // Finishes what is queued; from then on Run refuses large requests. Main's thread.
  void Stop();

  // Gives what `work` gives, an ApiResult: computed at once where the request has few `bytes`, else on one of
  // these threads while the caller's serves others. 503 where too many large requests wait already.
  template <typename Work>
  boost::asio::awaitable<std::invoke_result_t<Work&>> Run(size_t bytes, Work work) {
    using Result = std::invoke_result_t<Work&>;
    if (bytes < kLargeBytes) co_return work();
    auto done = std::make_shared<http::Mailbox<Result>>();
    absl::AnyInvocable<void()> job = [done, work = std::move(work)]() mutable { done->Push(work()); };
    if (!queue_.TryPush(std::move(job))) co_return TooManyLargeRequests();
    std::vector<Result> results = co_await done->Wait();
    co_return std::move(results.front());
  }

 private:
  static constexpr size_t kLargeBytes = 16 << 10;
  static constexpr size_t kMaxWaiting = 256;

  BoundedQueue<absl::AnyInvocable<void()>> queue_{kMaxWaiting};
  std::vector<std::thread> threads_;
};

}  // namespace quire::gateway
