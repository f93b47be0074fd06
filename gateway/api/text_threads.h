// Threads for the long computations of requests (inflate, parse, template, encode): a megabyte of text takes
// a second or more, and the streams that share the request's I/O thread must not wait for it. One for the
// gateway; any I/O thread calls Run. Accounts take turns, and none has all threads at once (turn_queue.h).
// Always: whoever waits in Run is answered, also where the work throws or the client leaves; so it is stopped
// before the server is destroyed.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/async/mailbox.h"
#include "gateway/api/error_response.h"
#include "gateway/api/turn_queue.h"

namespace quire::gateway {

// Whom a job is for: whose turn it takes, and whether anybody still waits for it.
class JobOwner {
 public:
  explicit JobOwner(std::string account) : account_(std::move(account)) {}

  const std::string& account() const { return account_; }
  // The client has left; any thread: work asks between its stages.
  bool gone() const { return gone_; }

  // The rest is for the request's I/O thread. Leave calls what WhenGone was given last, once; WhenGone calls
  // it at once if the client has left already. An empty function: nothing is to be called.
  void Leave();
  void WhenGone(std::function<void()> then);

 private:
  const std::string account_;
  std::atomic<bool> gone_ = false;
  std::function<void()> then_;
};

class TextThreads {
 public:
  // As many threads as one account may keep busy, and one more.
  explicit TextThreads(int count_per_account);
  ~TextThreads() { Stop(); }

  // Finishes what is queued; from then on Run refuses large requests. Main's thread.
  void Stop();

  static constexpr size_t kAlwaysLarge = SIZE_MAX;

  // Gives what `work` gives, an ApiResult: computed at once where the request has few `bytes`, else on one of
  // these threads while the caller's serves others. 503 where too many large requests wait already; 500 where
  // the work throws; as soon as the owner's client leaves an error that nobody reads, and work that was not
  // begun is destroyed. `owner` outlives the call, and any work of it.
  template <typename Work>
  boost::asio::awaitable<std::invoke_result_t<Work&>> Run(size_t bytes, std::shared_ptr<JobOwner> owner,
                                                          Work work) {
    using Result = std::invoke_result_t<Work&>;
    if (bytes < kLargeBytes) co_return Guarded(work);
    auto done = std::make_shared<Mailbox<Result>>();
    const auto id = queue_.TryPush(owner->account(),
                                   [done, work = std::move(work)]() mutable { done->Push(Guarded(work)); });
    if (!id) co_return TooManyLargeRequests();
    owner->WhenGone([this, id = *id, done, account = owner->account()] {
      queue_.Remove(account, id);
      done->Push(Result(ClientLeft()));
    });
    std::vector<Result> results = co_await done->Wait();
    owner->WhenGone(nullptr);
    co_return std::move(results.front());
  }

 private:
  // At most a millisecond's work: what a change of threads would cost a small request isn't worth it.
  static constexpr size_t kLargeBytes = 2 << 10;
  static constexpr size_t kMaxWaiting = 4096, kMaxWaitingPerAccount = kMaxWaiting / 4;

  template <typename Work>
  static std::invoke_result_t<Work&> Guarded(Work& work) {
    try {
      return work();
    } catch (...) {
      return WorkThrew();
    }
  }
  static http::ApiError WorkThrew();

  TurnQueue queue_;
  std::vector<std::thread> threads_;
};

}  // namespace quire::gateway
