// One webhook on its way: sent, and sent again where that may help, under one id, until somebody has taken it
// or nobody will. The world is passed in: how it is posted, and how it waits. Used by its job's coroutine.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/clock.h"
#include "base/http/https_client.h"

namespace quire::gateway {

struct WebhookDelivery {
  std::string id;       // the same in each attempt
  std::string account;  // whose
  http::HttpsUrl url;
  std::string secret;
  std::string body;
  std::function<void(std::function<void()> end)> on_end = {};  // of each post
};

struct DeliveryReport {
  enum class Outcome {
    kDelivered,  // 2xx
    kRefused,    // another status, which the same request would get again
    kForbidden,  // an address that may not be reached
    kGivenUp,    // after all attempts, or as the gateway ended
  };
  Outcome outcome = Outcome::kGivenUp;
  int attempts = 0;
  int status = 0;      // the last reply's; 0: there was none
  std::string reason;  // why there was none
};

const char* NameOf(DeliveryReport::Outcome outcome);

struct DeliveryWorld {
  std::function<boost::asio::awaitable<absl::StatusOr<int>>(http::HttpsPost post)> post;
  // False: nobody waits any more, the next attempt is the last one.
  std::function<boost::asio::awaitable<bool>(std::chrono::milliseconds delay)> wait;
  const Clock& clock;
};

// Before the second attempt, the third, ...
std::vector<std::chrono::milliseconds> RetryDelays(std::chrono::milliseconds first);

// All outlive it. No delays: one attempt.
boost::asio::awaitable<DeliveryReport> Deliver(const WebhookDelivery& delivery, const DeliveryWorld& world,
                                               const std::vector<std::chrono::milliseconds>& delays);

}  // namespace quire::gateway
