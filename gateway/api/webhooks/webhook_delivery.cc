#include "gateway/api/webhooks/webhook_delivery.h"

#include "gateway/api/webhooks/webhook_signature.h"

namespace quire::gateway {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;
using Outcome = DeliveryReport::Outcome;

http::HttpsPost SignedPost(const WebhookDelivery& delivery, int64_t unix_s) {
  http::HttpsPost post{.url = delivery.url,
                       .owner = delivery.account,
                       .headers = {},
                       .body = delivery.body,
                       .on_end = delivery.on_end};
  post.headers = SignWebhook(delivery.secret, delivery.id, unix_s, delivery.body);
  post.headers.emplace_back("content-type", "application/json");
  return post;
}

// Whether another attempt may go better.
bool MayRetry(const absl::StatusOr<int>& said, DeliveryReport& report) {
  report.status = said.ok() ? *said : 0;
  report.reason = said.ok() ? "" : std::string(said.status().message());
  if (!said.ok()) {
    const bool forbidden = said.status().code() == absl::StatusCode::kPermissionDenied;
    report.outcome = forbidden ? Outcome::kForbidden : Outcome::kGivenUp;
    return !forbidden && said.status().code() != absl::StatusCode::kCancelled;
  }
  const bool again = *said == 408 || *said == 429 || *said >= 500;
  report.outcome = *said >= 200 && *said < 300 ? Outcome::kDelivered : Outcome::kRefused;
  if (again) report.outcome = Outcome::kGivenUp;
  return again;
}

}  // namespace

const char* NameOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDelivered:
      return "delivered";
    case Outcome::kRefused:
      return "refused";
    case Outcome::kForbidden:
      return "forbidden";
    case Outcome::kGivenUp:
      break;
  }
  return "given_up";
}

std::vector<milliseconds> RetryDelays(milliseconds first) { return {first, 5 * first, 25 * first}; }

awaitable<DeliveryReport> Deliver(const WebhookDelivery& delivery, const DeliveryWorld& world,
                                  const std::vector<milliseconds>& delays) {
  DeliveryReport report;
  bool last = delays.empty();
  while (true) {
    ++report.attempts;
    http::HttpsPost post = SignedPost(delivery, world.clock.UnixMs() / 1000);
    const absl::StatusOr<int> said = co_await world.post(std::move(post));
    if (!MayRetry(said, report) || last) co_return report;
    const size_t made = static_cast<size_t>(report.attempts);
    const bool goes_on = co_await world.wait(delays[made - 1]);
    last = !goes_on || made == delays.size();
  }
}

}  // namespace quire::gateway
