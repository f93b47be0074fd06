// Where the frames of one answer go: the body of an HTTP reply, streamed or whole (http_sinks.h), or the
// messages of a gRPC call. A door's writer appends, the pipeline flushes. Used by the request's coroutine
// only. Always: positions count as delivered, choice by choice, when the client's side has taken the last
// byte of the frame that carried them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/http/error_body.h"

namespace quire::gateway {

// Of one choice's tokens.
struct Positions {
  uint32_t choice = 0;
  uint32_t count = 0;
};

class Sink {
 public:
  virtual ~Sink() = default;

  // Calls `gone` once, on this coroutine's thread, as soon as the client is known to have left; at once if it
  // already has.
  virtual void OnGone(std::function<void()> gone) = 0;
  virtual bool gone() const = 0;

  // There is an answer, or it has been waited for long enough: a stream's head may leave.
  virtual void Open() {}
  // A token is there, whether or not it can be written yet.
  virtual void NoteFirstToken() {}
  // Queues one frame, which is never empty.
  void Append(std::string_view frame, Positions positions = {}) {
    if (positions.count > 0) order_.push_back(positions);
    Queue(frame, positions.count);
  }
  // One frame for several choices.
  void Append(std::string_view frame, const std::vector<Positions>& positions) {
    uint32_t count = 0;
    for (const Positions& of_one : positions) {
      if (of_one.count > 0) order_.push_back(of_one);
      count += of_one.count;
    }
    Queue(frame, count);
  }
  // Sends what is queued, waiting only where too much is; not OK: the client has left.
  virtual boost::asio::awaitable<absl::Status> Flush() = 0;
  // Sends what is queued and the answer's end.
  virtual boost::asio::awaitable<void> Finish() = 0;

  // Whether an error has a status of its own: over HTTP while nothing of the answer was sent, and what was
  // appended is then dropped; over gRPC always, behind what was appended.
  virtual bool may_refuse() const = 0;
  virtual boost::asio::awaitable<void> Refuse(const http::ApiError& error) = 0;

  // What was delivered since the last call.
  std::vector<Positions> TakeDelivered();

 protected:
  virtual void Queue(std::string_view frame, uint32_t positions) = 0;
  // Positions of all frames that the client's side has taken; also after it left.
  virtual uint64_t delivered() const = 0;

 private:
  std::deque<Positions> order_;  // of frames that are not known to be delivered
  uint64_t taken_ = 0;
};

}  // namespace quire::gateway
