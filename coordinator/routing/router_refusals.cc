// Why the router refuses a request: what no group will ever take, and what has waited long enough.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "coordinator/routing/router.h"

namespace quire::coordinator {
namespace {

constexpr uint32_t kNoGroupRetryS = 2;
constexpr uint32_t kOutdatedRetryS = 1;

}  // namespace

Route RefusedRoute(v1::RefusalReason reason, const std::string& message, uint32_t retry_after_s) {
  Route route;
  route.refusal.set_reason(reason);
  route.refusal.set_message(message);
  route.refusal.set_retry_after_s(retry_after_s);
  return route;
}

bool Understands(const Group& group, const RouteRequest& request) {
  return request.bundle_digest.empty() || request.bundle_digest == group.info.bundle_digest();
}

std::optional<Route> Router::RefuseIfHopeless(const RouteRequest& request) const {
  if (TooLarge(request)) {
    return RefusedRoute(v1::REFUSAL_TOO_LARGE,
                        absl::StrCat("the request may need ", request.most_tokens,
                                     " tokens of memory, more than any group of ", request.model,
                                     " has: shorten the prompt or lower max_tokens"));
  }
  if (Outdated(request)) {
    return RefusedRoute(
        v1::REFUSAL_OUTDATED,
        absl::StrCat("the text files of ", request.model, " have just changed; send the request again"),
        kOutdatedRetryS);
  }
  return std::nullopt;
}

bool Router::TooLarge(const RouteRequest& request) const {
  bool known = false;
  for (const auto& [id, group] : registry_.groups()) {
    if (group.info.model() != request.model) continue;
    known = true;
    if (BlocksFor(request.most_tokens) <= CapacityOf(group)) return false;
  }
  return known;
}

// Live groups of a model have one bundle (SlowFacts sees to that), but a request may have been encoded, or
// begun, before it changed.
bool Router::Outdated(const RouteRequest& request) const {
  const int64_t now_us = clock_.NowUs();
  bool others = false;
  for (const auto& [id, group] : registry_.groups()) {
    if (group.info.model() != request.model) continue;
    if (WorkerRegistry::StateOf(group, now_us) == GroupState::kGone) continue;
    if (Understands(group, request)) return false;
    others = true;
  }
  return others;
}

bool Router::AnyServing(const std::string& model) const {
  const int64_t now_us = clock_.NowUs();
  return std::any_of(registry_.groups().begin(), registry_.groups().end(), [&](const auto& entry) {
    return entry.second.info.model() == model &&
           WorkerRegistry::StateOf(entry.second, now_us) == GroupState::kServing;
  });
}

Route Router::Expired(const WaitQueue::Waiting& waiting) const {
  if (!AnyServing(waiting.model)) {
    return RefusedRoute(v1::REFUSAL_NO_CAPACITY,
                        absl::StrCat("no worker group of ", waiting.model, " is up; retry in a moment"),
                        kNoGroupRetryS);
  }
  return RefusedRoute(v1::REFUSAL_NO_CAPACITY, "all worker groups are busy; retry later",
                      queue_.RetryAfterSeconds());
}

}  // namespace quire::coordinator
