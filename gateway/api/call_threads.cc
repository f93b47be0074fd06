#include "gateway/api/call_threads.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

namespace quire::gateway {

struct CallThreads::Loop {
  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{context.get_executor()};
  std::thread thread{[this] { context.run(); }};
};

CallThreads::CallThreads(int count) {
  for (int i = 0; i < count; ++i) loops_.push_back(std::make_unique<Loop>());
}

CallThreads::~CallThreads() {
  for (const auto& loop : loops_) loop->work.reset();
  for (const auto& loop : loops_) loop->thread.join();
}

boost::asio::any_io_executor CallThreads::Next() {
  return loops_[next_++ % loops_.size()]->context.get_executor();
}

}  // namespace quire::gateway
