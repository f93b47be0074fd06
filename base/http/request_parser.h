// One request out of the bytes of a connection: Beast's parser between our own checks (head_check.h). Its
// user feeds what has arrived and keeps what was not consumed. Nothing here does I/O; one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/http/head_check.h"
#include "base/http/limits.h"
#include "base/http/refusal.h"
#include "base/http/request_head.h"

namespace quire::http {

class RequestParser {
 public:
  explicit RequestParser(const HttpLimits& limits);
  ~RequestParser();

  // `bytes` is everything that has arrived and was not consumed. Returns how many bytes it consumed: none
  // until the head is whole. Afterwards ask refusal() and head_done().
  size_t ReadHead(std::string_view bytes);
  bool head_done() const { return head_done_; }
  const RequestHead& head() const { return head_; }

  // After the head, where head().has_body(): the same for the body, consumed as it comes.
  size_t ReadBody(std::string_view bytes);
  bool body_done() const;
  size_t body_size() const;
  std::string TakeBody();

  // Once set, the connection can't go on after the reply.
  const std::optional<Rule>& refusal() const { return refusal_; }
  // For what the parser can't see itself: the time.
  void Refuse(Rule rule) { refusal_ = rule; }

 private:
  struct Beast;

  void TakeHead();

  const HttpLimits& limits_;
  HeadScanner scanner_;
  std::unique_ptr<Beast> beast_;
  RequestHead head_;
  bool head_done_ = false;
  size_t wire_bytes_ = 0;    // of the body, framing included
  bool line_begun_ = false;  // a chunk's line or trailers are there in part
  std::optional<Rule> refusal_;
};

}  // namespace quire::http
