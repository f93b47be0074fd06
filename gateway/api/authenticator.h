// Who is asking: the key of a request's head (Authorization: Bearer, or where that has none x-api-key)
// against the keys that Watch told us. Runs after the head and before the body, so a stranger costs one HMAC.
// Immutable; any thread. Always: an unknown key id costs the same work as a known one with a wrong secret.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/core/hash.h"
#include "base/http/error_body.h"
#include "base/http/exchange.h"
#include "gateway/rpc/facts.h"

namespace quire::gateway {

class Authenticator {
 public:
  using Compare = std::function<bool(std::string_view, std::string_view)>;

  // `facts` must outlive it. `compare` takes a time that depends on the lengths only.
  Authenticator(std::string pepper, const Facts& facts, Compare compare = ConstantTimeEqual)
      : pepper_(std::move(pepper)), facts_(facts), compare_(std::move(compare)) {}

  // nullptr: no key, a malformed, unknown or revoked one.
  Facts::Key Check(const http::RequestHead& head) const;
  // The same of a token that came otherwise.
  Facts::Key CheckToken(std::string_view token) const;
  // What a client reads where Check found nobody: 401, but 503 while the keys are not known yet, since a
  // client takes a 401 for final.
  http::ApiError Refusal() const;
  // The same for a request, whose record then names the key and its account.
  Facts::Key Identify(http::Exchange& exchange) const;

 private:
  const std::string pepper_;
  const Facts& facts_;
  const Compare compare_;
};

bool MayUseModel(const v1::KeyFact& key, const std::string& model);

}  // namespace quire::gateway
