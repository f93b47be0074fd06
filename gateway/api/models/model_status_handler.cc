#include "gateway/api/models/model_status_handler.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "gateway/api/error_response.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

ordered_json JsonOf(const std::optional<ModelActivity::Spread>& spread) {
  if (!spread) return nullptr;
  return {{"p50", spread->p50}, {"p95", spread->p95}};
}

}  // namespace

// A model that the key may not use is answered as one that there isn't.
boost::asio::awaitable<void> ModelStatusHandler::Handle(http::Exchange& exchange) const {
  const Facts::Key key = authenticator_.Identify(exchange);
  if (key == nullptr) co_return co_await exchange.Send(http::ErrorReply(authenticator_.Refusal()));
  const std::optional<CatalogModel> model = catalog_.Find(exchange.tail());
  if (!model || !MayUseModel(*key, exchange.tail())) {
    co_return co_await exchange.Send(http::ErrorReply(UnknownModel()));
  }
  http::Reply reply;
  reply.body = StatusOf(*model->fact);
  co_await exchange.Send(std::move(reply));
}

std::string ModelStatusHandler::StatusOf(const v1::ModelFact& model) const {
  const ModelActivity::Summary lately = activity_.Of(model.model(), clock_.NowUs());
  ordered_json status;
  status["model"] = model.model();
  status["groups_ready"] = model.groups_ready();
  status["uptime"] = lately.uptime ? ordered_json(*lately.uptime) : ordered_json();
  status["numerics_id"] = lately.numerics_id.empty() ? ordered_json() : ordered_json(lately.numerics_id);
  status["requests"] = {{"waiting", lately.waiting}, {"running", lately.running}};
  status["answers"] = lately.answers;
  status["first_token_seconds"] = JsonOf(lately.first_token_s);
  status["tokens_per_second"] = JsonOf(lately.tokens_per_s);
  return status.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace quire::gateway
