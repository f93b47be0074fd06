#include "gateway/api/models/models_handler.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "gateway/api/error_response.h"
#include "gateway/api/models/model_capabilities.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

// Dollars per million tokens, as the hosted page's own list gives them.
double UsdPerMillion(int64_t nano_usd_per_token) { return static_cast<double>(nano_usd_per_token) / 1000; }

// 0 says: as many as its context has room for.
uint64_t MostOutput(const v1::ModelFact& model) {
  return model.max_output_tokens() > 0 ? model.max_output_tokens() : model.max_context();
}

// Dollars per token, exactly.
std::string Usd(int64_t nano_usd) {
  constexpr int64_t kNano = 1'000'000'000;
  return absl::StrFormat("%d.%09d", nano_usd / kNano, nano_usd % kNano);
}

// Who has the names of these in a list finds them in the tags.
ordered_json CapabilitiesJson(const ModelCapabilities& can) {
  return {{"chat", can.chat},
          {"completions", can.completions},
          {"reasoning", can.reasoning},
          {"tools", can.tools},
          {"json", can.json}};
}

// As the hosted original's list has them.
ordered_json Metadata(const v1::ModelFact& model, const ordered_json& capabilities) {
  ordered_json pricing;
  pricing["input_tokens"] = UsdPerMillion(model.price().prompt_nano_usd());
  pricing["cache_read_tokens"] = UsdPerMillion(model.price().cached_prompt_nano_usd());
  pricing["output_tokens"] = UsdPerMillion(model.price().completion_nano_usd());
  ordered_json metadata;
  metadata["description"] = model.model();
  metadata["context_length"] = model.max_context();
  metadata["max_tokens"] = MostOutput(model);
  metadata["pricing"] = std::move(pricing);
  metadata["tags"] = ordered_json::array();
  for (const auto& [name, can] : capabilities.items()) {
    if (can.get<bool>()) metadata["tags"].push_back(name);
  }
  return metadata;
}

ordered_json Entry(const CatalogModel& listed) {
  const v1::ModelFact& model = *listed.fact;
  ordered_json capabilities = CapabilitiesJson(CapabilitiesOf(*listed.text));
  ordered_json pricing;
  pricing["prompt"] = Usd(model.price().prompt_nano_usd());
  pricing["input_cache_read"] = Usd(model.price().cached_prompt_nano_usd());
  pricing["completion"] = Usd(model.price().completion_nano_usd());
  ordered_json entry;
  entry["id"] = model.model();
  entry["object"] = "model";
  entry["created"] = model.created_unix_s();
  entry["owned_by"] = model.owned_by();
  entry["root"] = model.model();
  entry["parent"] = nullptr;
  entry["context_length"] = model.max_context();
  entry["max_model_len"] = model.max_context();  // the name that agents know from other servers
  entry["max_output_length"] = MostOutput(model);
  entry["dtype"] = listed.text->dtype().empty() ? ordered_json() : ordered_json(listed.text->dtype());
  entry["pricing"] = std::move(pricing);
  entry["metadata"] = Metadata(model, capabilities);
  entry["capabilities"] = std::move(capabilities);
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
    if (model.fact->model() == name && MayUseModel(key, name)) return Text(Entry(model));
  }
  return std::nullopt;
}

std::string ModelsHandler::ListFor(const v1::KeyFact& key) const {
  ordered_json list;
  list["object"] = "list";
  list["data"] = ordered_json::array();
  for (const CatalogModel& model : catalog_.Servable()) {
    if (MayUseModel(key, model.fact->model())) list["data"].push_back(Entry(model));
  }
  return Text(list);
}

}  // namespace quire::gateway
