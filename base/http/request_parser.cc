#include "base/http/request_parser.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace quire::http {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

// Framing that a chunked body may cost per byte of its own: one-byte chunks need six.
constexpr size_t kFramingPerBodyByte = 8;

Rule RuleOfBeast(const error_code& error, std::string_view head) {
  if (error == http::error::header_limit) return Rule::kHeadTooLarge;
  if (error == http::error::bad_version) return Rule::kVersion;
  if (error == http::error::bad_transfer_encoding) return Rule::kTransferEncoding;
  if (error == http::error::bad_content_length || error == http::error::multiple_content_length) {
    // Beast takes a length behind Transfer-Encoding for the wrong one of the two.
    const bool both = absl::StrContains(absl::AsciiStrToLower(std::string(head)), "\ntransfer-encoding:");
    return both ? Rule::kTransferEncoding : Rule::kContentLength;
  }
  return Rule::kSyntax;
}

}  // namespace

struct RequestParser::Beast {
  http::request_parser<http::string_body> parser;
};

RequestParser::RequestParser(const HttpLimits& limits)
    : limits_(limits), scanner_(limits), beast_(std::make_unique<Beast>()) {
  beast_->parser.header_limit(static_cast<uint32_t>(limits.head_bytes));
  beast_->parser.body_limit(boost::none);  // ours are checked in ReadBody, after the handler saw the head
}

RequestParser::~RequestParser() = default;

size_t RequestParser::ReadHead(std::string_view bytes) {
  // One empty line before a request is ignored (RFC 9112, 2.2): old clients end a body with one.
  constexpr std::string_view kEmptyLine = "\r\n";
  if (bytes == kEmptyLine.substr(0, 1)) return 0;
  const size_t skipped = bytes.starts_with(kEmptyLine) ? kEmptyLine.size() : 0;
  bytes.remove_prefix(skipped);
  // Also for a head that is refused before it is parsed: the refusal must have no body then.
  if (bytes.starts_with("HEAD ")) head_.method = "HEAD";
  if (!scanner_.Scan(bytes)) {
    refusal_ = scanner_.refusal();
    return 0;
  }
  error_code error;
  const size_t consumed = beast_->parser.put(boost::asio::buffer(bytes.data(), scanner_.size()), error);
  if (error || consumed != scanner_.size() || !beast_->parser.is_header_done()) {
    refusal_ = RuleOfBeast(error, bytes.substr(0, scanner_.size()));
    return 0;
  }
  TakeHead();
  refusal_ = CheckHead(head_);
  head_done_ = !refusal_;
  return skipped + consumed;
}

void RequestParser::TakeHead() {
  const auto& message = beast_->parser.get();
  head_.method = std::string(message.method_string());
  const std::string target(PathOfTarget(std::string_view(message.target().data(), message.target().size())));
  const size_t question = std::min(target.find('?'), target.size());
  head_.path = target.substr(0, question);
  if (question < target.size()) head_.query = target.substr(question + 1);
  head_.minor_version = static_cast<int>(message.version() % 10);
  head_.keep_alive = head_.minor_version == 1 && beast_->parser.keep_alive();
  for (const auto& field : message) {
    head_.headers.emplace_back(absl::AsciiStrToLower(std::string(field.name_string())),
                               std::string(field.value()));
  }
  beast_->parser.eager(true);
}

size_t RequestParser::ReadBody(std::string_view bytes) {
  if (head_.content_length.value_or(0) > limits_.body_bytes) {
    refusal_ = Rule::kBodyTooLarge;
    return 0;
  }
  // Beast asserts when it is shown a begun last chunk again in fewer bytes than a whole one has; that many
  // are always still to come.
  constexpr std::string_view kLastChunk = "0\r\n\r\n";
  if (line_begun_ && bytes.size() < kLastChunk.size()) return 0;
  error_code error;
  const size_t consumed = beast_->parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  wire_bytes_ += consumed;
  line_begun_ = head_.chunked && consumed < bytes.size();
  const size_t overhead = limits_.chunk_overhead_bytes + kFramingPerBodyByte * body_size();
  if (error && error != http::error::need_more) {
    refusal_ = Rule::kChunking;
  } else if (body_size() > limits_.body_bytes) {
    refusal_ = Rule::kBodyTooLarge;
  } else if (wire_bytes_ - body_size() > overhead ||
             (consumed == 0 && bytes.size() > limits_.chunk_overhead_bytes)) {
    refusal_ = Rule::kChunking;  // the second: a chunk's line or trailers that don't fit into one piece
  }
  return consumed;
}

bool RequestParser::body_done() const { return beast_->parser.is_done(); }
size_t RequestParser::body_size() const { return beast_->parser.get().body().size(); }
std::string RequestParser::TakeBody() { return std::move(beast_->parser.get().body()); }

}  // namespace quire::http
