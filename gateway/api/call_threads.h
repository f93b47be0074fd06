// Threads with an event loop each, for coroutines that no connection of the HTTP server runs: a gRPC call's,
// a job's. Each stays on one. Owned by who starts them; its end waits until none is left.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <vector>

namespace quire::gateway {

class CallThreads {
 public:
  explicit CallThreads(int count);
  ~CallThreads();
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  // The next call's, in turn; any thread.
  boost::asio::any_io_executor Next();

 private:
  struct Loop;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::atomic<size_t> next_ = 0;
};

}  // namespace quire::gateway
