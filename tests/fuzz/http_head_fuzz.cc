// Bytes from outside -> HeadScanner, Beast's parser, CheckHead and the body's decoding. What passes has one
// framing, one Host and a plain target, and neither verdict nor body depends on how the bytes were cut.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/http/request_parser.h"

namespace {

namespace http = quire::http;

using quire::http::HttpLimits;
using quire::http::IsPlainTarget;
using quire::http::RequestHead;
using quire::http::RequestParser;

void Require(bool holds) {
  if (!holds) std::abort();
}

int Count(const http::RequestHead& head, std::string_view name) {
  int count = 0;
  for (const auto& [key, value] : head.headers) count += key == name;
  return count;
}

void CheckAccepted(const http::RequestHead& head) {
  const int lengths = Count(head, "content-length"), encodings = Count(head, "transfer-encoding");
  Require(lengths + encodings <= 1);
  Require(head.chunked == (encodings == 1) && head.content_length.has_value() == (lengths == 1));
  Require(Count(head, "host") == 1 || (head.minor_version == 0 && Count(head, "host") == 0));
  Require(Count(head, "authorization") <= 1);
  Require(IsPlainTarget(head.path) || (head.method == "OPTIONS" && head.path == "*"));
}

// Feeds the bytes in pieces of `piece`, as a connection does.
void Feed(RequestParser& parser, std::string_view bytes, size_t piece) {
  std::string waiting;
  const auto stuck = [&] { return parser.refusal().has_value(); };
  while (!bytes.empty() && !stuck()) {
    waiting += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    if (!parser.head_done()) waiting.erase(0, parser.ReadHead(waiting));
    if (parser.head_done() && parser.head().has_body() && !parser.body_done()) {
      waiting.erase(0, parser.ReadBody(waiting));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  http::HttpLimits limits;
  limits.head_bytes = 2048;
  limits.headers = 20;
  limits.body_bytes = 1000;
  limits.chunk_overhead_bytes = 500;
  const size_t piece = 1 + data[0] % 64;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);

  RequestParser whole(limits), pieces(limits);
  Feed(whole, bytes, bytes.size());
  Feed(pieces, bytes, piece);
  Require(whole.head_done() == pieces.head_done());
  if (!whole.head_done()) {
    Require(whole.refusal() == pieces.refusal());
    return 0;
  }
  CheckAccepted(whole.head());
  if (whole.head().has_body() && !whole.refusal() && !pieces.refusal()) {
    Require(whole.body_done() == pieces.body_done());
    Require(whole.body_size() <= limits.body_bytes);
    // Of a body that is not all there nobody sees a part, so how much was decoded may depend on the cuts.
    if (whole.body_done()) Require(whole.TakeBody() == pieces.TakeBody());
  }
  return 0;
}
