#include "gateway/api/models/models_handler.h"

#include <nlohmann/json.hpp>

#include "gateway/api/error_response.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

// Dollars per million tokens, as the hosted page's own list gives them.
double UsdPerMillion(int64_t nano_usd_per_token) { return static_cast<double>(nano_usd_per_token) / 1000; }

ordered_json Entry(const v1::ModelFact& model) {
  ordered_json pricing;
  pricing["input_tokens"] = UsdPerMillion(model.price().prompt_nano_usd());
  pricing["cache_read_tokens"] = UsdPerMillion(model.price().cached_prompt_nano_usd());
  pricing["output_tokens"] = UsdPerMillion(model.price().completion_nano_usd());
  ordered_json metadata;
  metadata["description"] = model.model();
  metadata["context_length"] = model.max_context();
  metadata["max_tokens"] = model.max_output_tokens();
  metadata["pricing"] = std::move(pricing);
  metadata["tags"] = ordered_json::array();
  ordered_json entry;
  entry["id"] = model.model();
  entry["object"] = "model";
  entry["created"] = model.created_unix_s();
  entry["owned_by"] = model.owned_by();
  entry["root"] = model.model();
  entry["parent"] = nullptr;
  entry["metadata"] = std::move(metadata);
  return entry;
}

std::string Text(const ordered_json& body) {
  return body.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

boost::asio::awaitable<void> ModelsHandler::Handle(http::Exchange& exchange) const {
  const Facts::Key key = authenticator_.Identify(exchange);
  if (key == nullptr) co_return co_await exchange.Send(http::ErrorReply(authenticator_.Refusal()));
  http::Reply reply;
  reply.body = ListFor(*key);
  co_await exchange.Send(std::move(reply));
}

boost::asio::awaitable<void> ModelsHandler::HandleOne(http::Exchange& exchange) const {
  const Facts::Key key = authenticator_.Identify(exchange);
  if (key == nullptr) co_return co_await exchange.Send(http::ErrorReply(authenticator_.Refusal()));
  const std::optional<std::string> body = OneFor(*key, exchange.tail());
  if (!body) co_return co_await exchange.Send(http::ErrorReply(UnknownModel()));
  http::Reply reply;
  reply.body = *body;
  co_await exchange.Send(std::move(reply));
}

// Another tenant's model is looked for and not found as one that there isn't.
std::optional<std::string> ModelsHandler::OneFor(const v1::KeyFact& key, const std::string& name) const {
  for (const CatalogModel& model : catalog_.Servable()) {
    if (model.fact->model() == name && MayUseModel(key, name)) return Text(Entry(*model.fact));
  }
  return std::nullopt;
}

std::string ModelsHandler::ListFor(const v1::KeyFact& key) const {
  ordered_json list;
  list["object"] = "list";
  list["data"] = ordered_json::array();
  for (const CatalogModel& model : catalog_.Servable()) {
    if (MayUseModel(key, model.fact->model())) list["data"].push_back(Entry(*model.fact));
  }
  return Text(list);
}

}  // namespace quire::gateway
