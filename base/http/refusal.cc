#include "base/http/refusal.h"

#include <array>

namespace quire::http {
namespace {

struct Entry {
  Rule rule;
  const char* label;
  int status;
  const char* message;
};

constexpr std::array<Entry, static_cast<size_t>(Rule::kCount)> kRules = {{
    {Rule::kHeadTooLarge, "head_too_large", 431,
     "The request line and headers are too large; send smaller headers."},
    {Rule::kTooManyHeaders, "too_many_headers", 431, "Too many headers; send fewer."},
    {Rule::kHeadTimeout, "head_timeout", 408,
     "The request's headers did not arrive in time; send the request again."},
    {Rule::kSyntax, "syntax", 400, "This is not a valid HTTP/1.1 request."},
    {Rule::kControlByte, "control_byte", 400,
     "The request's head contains a control character or a bare CR or LF."},
    {Rule::kObsFold, "obs_fold", 400, "A header is folded over several lines; send it on one line."},
    {Rule::kVersion, "version", 400, "Only HTTP/1.1 and HTTP/1.0 are spoken here."},
    {Rule::kTransferEncoding, "transfer_encoding", 400,
     "Transfer-Encoding must be given once, be 'chunked', on HTTP/1.1 and without Content-Length."},
    {Rule::kContentLength, "content_length", 400, "Content-Length must be given once and be a number."},
    {Rule::kHost, "host", 400, "Exactly one valid Host header is needed."},
    {Rule::kAuthorization, "authorization", 400, "At most one Authorization header is allowed."},
    {Rule::kTarget, "target", 400, "The request's target must be a plain path such as /v1/models."},
    {Rule::kExpectation, "expectation", 417, "The only expectation supported is '100-continue'."},
    {Rule::kBodyTooLarge, "body_too_large", 413, "The request's body is too large; send a shorter one."},
    {Rule::kBodyTimeout, "body_timeout", 408,
     "The request's body arrived too slowly; send the request again."},
    {Rule::kChunking, "chunking", 400, "The body's chunked encoding is not valid, or mostly framing."},
    {Rule::kContentEncoding, "content_encoding", 415,
     "Content-Encoding may be gzip; send other bodies uncompressed."},
    {Rule::kGzip, "gzip", 400, "The body is not valid gzip."},
    {Rule::kNoRoute, "no_route", 404, "There is nothing at this path; check its spelling."},
    {Rule::kMethod, "method", 405,
     "This path does not take that method; the Allow header names the ones it does."},
    {Rule::kUnknownMethod, "unknown_method", 501,
     "There is no such method; methods are spelt in capitals, as GET and POST."},
    {Rule::kNoReply, "no_reply", 500, "The server failed to answer this request; send it again."},
    {Rule::kOverCapacity, "over_capacity", 503, "Too many connections; try again in a moment."},
}};

constexpr bool InOrder() {
  for (size_t i = 0; i < kRules.size(); ++i) {
    if (kRules[i].rule != static_cast<Rule>(i)) return false;
  }
  return true;
}
static_assert(InOrder());

const Entry& EntryOf(Rule rule) { return kRules.at(static_cast<size_t>(rule)); }

}  // namespace

Rule RuleOfGunzip(const absl::Status& failure) {
  return absl::IsResourceExhausted(failure) ? Rule::kBodyTooLarge : Rule::kGzip;
}

const char* LabelOf(Rule rule) { return EntryOf(rule).label; }

ApiError RefusalError(Rule rule) {
  const Entry& entry = EntryOf(rule);
  return {.status = entry.status, .message = entry.message, .code = entry.label};
}

}  // namespace quire::http
