#include "gateway/api/webhooks/inference_jobs_door.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/api/inference/inference_door.h"
#include "gateway/api/inference/inference_writers.h"

namespace quire::gateway {

using boost::asio::awaitable;

InferenceJobsDoor::InferenceJobsDoor(const Pipeline& pipeline, WebhookJobs& jobs)
    : authenticator_(pipeline.authenticator()), door_(pipeline, ParseInference), jobs_(jobs) {}

awaitable<void> InferenceJobsDoor::Handle(http::Exchange& exchange) const {
  ApiResult<Prepared> prepared = co_await door_.Prepare(exchange);
  if (auto* error = std::get_if<http::ApiError>(&prepared)) co_return co_await exchange.SendError(*error);
  Prepared& request = std::get<Prepared>(prepared);
  if (!request.webhook) co_return co_await door_.Answer(exchange, std::move(request));
  http::RequestRecord asked = exchange.record();
  asked.route = std::string(exchange.match().path);
  const auto refused = jobs_.Begin(std::move(request), exchange.id(), asked);
  if (refused) co_return co_await exchange.SendError(*refused);
  http::Reply reply;
  reply.body = InferenceJobJson(exchange.id(), "queued", 0, nullptr);
  co_await exchange.Send(std::move(reply));
}

awaitable<void> InferenceJobsDoor::TellSecret(http::Exchange& exchange) const {
  const Facts::Key key = authenticator_.Identify(exchange);
  if (key == nullptr) co_return co_await exchange.Send(http::ErrorReply(authenticator_.Refusal()));
  http::Reply reply;
  reply.headers.emplace_back("cache-control", "no-store");
  reply.body = absl::StrCat("{\"secret\":\"", jobs_.SecretOf(key->key_id()), "\"}");
  co_await exchange.Send(std::move(reply));
}

}  // namespace quire::gateway
