// Which pages of other origins a browser lets read our replies (the Fetch standard's CORS). Keys are never
// ambient here (no cookies), so any origin may, unless an operator lists some. Immutable, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/http/reply.h"
#include "base/http/request_head.h"

namespace quire::http {

class CorsPolicy {
 public:
  // Off: replies say nothing about origins.
  CorsPolicy() = default;
  // "*", "none", or origins with commas between them: "https://a.example,http://localhost:3000".
  // InvalidArgument: an entry is no origin.
  static absl::StatusOr<CorsPolicy> Parse(std::string_view text);

  bool off() const { return !any_ && origins_.empty(); }
  // What every reply to this request carries, refusals too.
  void AddTo(Headers& headers, const RequestHead& head) const;
  // A browser asks whether it may; such a request has no key.
  bool IsPreflight(const RequestHead& head) const;
  // Its answer's own headers, beside AddTo's. `allow` names the methods that the path takes.
  Headers PreflightHeaders(const RequestHead& head, const std::string& allow) const;

 private:
  bool any_ = false;
  std::vector<std::string> origins_;
};

}  // namespace quire::http
