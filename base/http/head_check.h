// What a request's head must be beyond what Beast's parser asks (Beast 1.81 lets request-smuggling shapes
// through): no fold, no stray control byte, one framing, one Host, one Authorization, a plain target. A
// violation is answered and the connection closed. Pure, fuzzed (tests/fuzz/http_head_fuzz.cc), any thread.
#pragma once

#include <optional>
#include <string_view>

#include "base/http/limits.h"
#include "base/http/refusal.h"
#include "base/http/request_head.h"

namespace quire::http {

// Looks at a head's raw bytes as they arrive, before any parser.
class HeadScanner {
 public:
  explicit HeadScanner(const HttpLimits& limits) : limits_(limits) {}

  // `bytes` is everything so far, from the head's first byte. True once the whole head is there (size() says
  // how much); false: more is needed, or refusal() says why not.
  bool Scan(std::string_view bytes);
  size_t size() const { return position_; }
  const std::optional<Rule>& refusal() const { return refusal_; }

 private:
  // The rule that the byte at position_ breaks.
  std::optional<Rule> CheckByte(std::string_view bytes) const;
  // Counts the line that ended before position_; true where it was the empty one.
  bool EndLine();

  const HttpLimits& limits_;
  size_t position_ = 0, line_start_ = 0;
  int lines_ = 0;
  std::optional<Rule> refusal_;
};

// The first rule that the parsed head breaks. On success also fills in head.chunked and head.content_length.
std::optional<Rule> CheckHead(RequestHead& head);

// A request's target as the origin form: of the absolute form (http://host/path, which proxies send) the part
// behind the host, which says no more than Host; all else as it is.
std::string_view PathOfTarget(std::string_view target);

// Origin form without "//", dot segments, fragments, encoded dots or NULs, or anything but visible ASCII.
bool IsPlainTarget(std::string_view target);

}  // namespace quire::http
