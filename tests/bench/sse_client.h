// One kept-alive connection of the load generator: sends a chat request, follows its reply as the bytes come,
// and times it. Driven by an epoll loop, non-blocking; one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/core/fd.h"

namespace quire::bench {

using Clock = std::chrono::steady_clock;

// What one request took.
struct RequestTimes {
  bool ok = false;
  double first_chunk_ms = 0, total_ms = 0;
  int64_t tokens = 0;           // usage.completion_tokens where given, else the chunks
  std::vector<double> gaps_ms;  // between reads that brought chunks
};

class SseClient {
 public:
  enum class Progress { kPending, kDone };

  // `request` is the whole request's bytes; `streamed` says whether to expect server-sent events.
  SseClient(int port, const std::string& request, bool streamed)
      : port_(port), request_(request), streamed_(streamed) {}
  SseClient(const SseClient&) = delete;
  SseClient& operator=(const SseClient&) = delete;

  // Starts a request, on the open connection if there is one. False: can't connect.
  bool Begin();
  // The socket can be read or written.
  Progress OnReady();
  const RequestTimes& times() const { return times_; }
  int fd() const { return fd_.get(); }
  // The socket is another one since the last call: it has to be watched anew.
  bool TakeReconnected();

 private:
  bool Connect();
  void Write();
  void Take(const char* bytes, size_t count);
  // The reply has come whole (its status in times_.ok).
  bool ReplyComplete() const;
  Progress Finish(bool ok);

  const int port_;
  const std::string& request_;
  const bool streamed_;
  Fd fd_;
  bool reconnected_ = false;
  size_t sent_ = 0, received_ = 0;
  int64_t chunks_ = 0;
  std::string head_, tail_;  // the reply's first and latest bytes
  Clock::time_point begun_, last_chunk_;
  RequestTimes times_;
};

}  // namespace quire::bench
