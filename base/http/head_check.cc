#include "base/http/head_check.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/core/absl_text.h"

namespace quire::http {
namespace {

constexpr size_t kMaxLengthDigits = 18;  // below 2^63 whatever the digits

bool IsTokenByte(char byte) {
  return absl::ascii_isalnum(static_cast<unsigned char>(byte)) ||
         std::string_view("!#$%&'*+-.^_`|~").find(byte) != std::string_view::npos;
}

bool IsHostByte(char byte) {
  return absl::ascii_isalnum(static_cast<unsigned char>(byte)) ||
         std::string_view("-._~:[]").find(byte) != std::string_view::npos;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(Absl(a), Absl(b));
}

// The values of every header of that name.
std::vector<std::string_view> ValuesOf(const RequestHead& head, std::string_view name) {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : head.headers) {
    if (key == name) values.push_back(value);
  }
  return values;
}

std::optional<Rule> CheckFraming(RequestHead& head) {
  const auto encodings = ValuesOf(head, "transfer-encoding");
  const auto lengths = ValuesOf(head, "content-length");
  if (!encodings.empty()) {
    const bool chunked_only = encodings.size() == 1 && EqualsIgnoringCase(encodings[0], "chunked");
    if (!chunked_only || head.minor_version == 0 || !lengths.empty()) return Rule::kTransferEncoding;
    head.chunked = true;
  }
  if (lengths.empty()) return std::nullopt;
  const std::string_view digits = lengths[0];
  const bool numeric = !digits.empty() && digits.size() <= kMaxLengthDigits &&
                       std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  uint64_t length = 0;
  if (lengths.size() != 1 || !numeric || !absl::SimpleAtoi(std::string(digits), &length))
    return Rule::kContentLength;
  head.content_length = length;
  return std::nullopt;
}

bool HostIsRight(const RequestHead& head) {
  const auto hosts = ValuesOf(head, "host");
  if (hosts.empty()) return head.minor_version == 0;
  return hosts.size() == 1 && std::all_of(hosts[0].begin(), hosts[0].end(), IsHostByte);
}

bool HasDotSegment(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment == "." || segment == "..") return true;
    path.remove_prefix(segment.size());
  }
  return false;
}

}  // namespace

std::optional<Rule> HeadScanner::CheckByte(std::string_view bytes) const {
  const auto byte = static_cast<unsigned char>(bytes[position_]);
  if (position_ == 0) return IsTokenByte(bytes[0]) ? std::nullopt : std::optional(Rule::kSyntax);
  const bool after_cr = bytes[position_ - 1] == '\r';
  if (after_cr != (byte == '\n')) return Rule::kControlByte;  // a bare CR or LF
  if ((byte == ' ' || byte == '\t') && position_ == line_start_) return Rule::kObsFold;
  const bool allowed_control = byte == '\t' || byte == '\r' || byte == '\n';
  if ((byte < 0x20 && !allowed_control) || byte == 0x7f) return Rule::kControlByte;
  return std::nullopt;
}

bool HeadScanner::EndLine() {
  const bool empty = position_ - line_start_ == 2;
  line_start_ = position_;
  // The request's line and the empty one are no headers.
  if (!empty && ++lines_ > limits_.headers + 1) refusal_ = Rule::kTooManyHeaders;
  return empty;
}

bool HeadScanner::Scan(std::string_view bytes) {
  while (!refusal_ && position_ < bytes.size()) {
    if (position_ >= limits_.head_bytes) {
      refusal_ = Rule::kHeadTooLarge;
      break;
    }
    refusal_ = CheckByte(bytes);
    if (refusal_) break;
    if (bytes[position_++] == '\n' && EndLine()) return !refusal_;
  }
  return false;
}

std::string_view PathOfTarget(std::string_view target) {
  std::string_view rest = target;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (EqualsIgnoringCase(target.substr(0, scheme.size()), scheme)) rest.remove_prefix(scheme.size());
  }
  if (rest.size() == target.size()) return target;
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.empty() || !std::all_of(authority.begin(), authority.end(), IsHostByte)) return target;
  rest.remove_prefix(authority.size());
  return rest.empty() ? "/" : rest;
}

bool IsPlainTarget(std::string_view target) {
  if (target.empty() || target[0] != '/') return false;
  const bool visible = std::all_of(target.begin(), target.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!visible || target.find('#') != std::string_view::npos) return false;
  const std::string lower = absl::AsciiStrToLower(std::string(target));
  if (absl::StrContains(lower, "%2e") || absl::StrContains(lower, "%00")) return false;
  const std::string_view path = target.substr(0, target.find('?'));
  return path.find("//") == std::string_view::npos && !HasDotSegment(path);
}

std::optional<Rule> CheckHead(RequestHead& head) {
  if (const std::optional<Rule> framing = CheckFraming(head)) return framing;
  if (!HostIsRight(head)) return Rule::kHost;
  if (ValuesOf(head, "authorization").size() > 1) return Rule::kAuthorization;
  const std::string target = head.query.empty() ? head.path : head.path + "?" + head.query;
  const bool whole_server = head.method == "OPTIONS" && target == "*";
  if (!whole_server && !IsPlainTarget(target)) return Rule::kTarget;
  for (const std::string& expectation : head.List("expect")) {
    if (expectation != "100-continue") return Rule::kExpectation;
  }
  return std::nullopt;
}

}  // namespace quire::http
