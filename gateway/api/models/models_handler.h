// GET /v1/models: the models that the caller's key may use and this gateway can serve; GET /v1/models/{id}:
// one of them, whose name may hold slashes. One for the gateway; both are coroutines on their connection's
// thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include "base/http/exchange.h"
#include "gateway/api/authenticator.h"
#include "gateway/generation/model_catalog.h"

namespace quire::gateway {

class ModelsHandler {
 public:
  // Both must outlive it.
  ModelsHandler(const Authenticator& authenticator, const ModelCatalog& catalog)
      : authenticator_(authenticator), catalog_(catalog) {}

  boost::asio::awaitable<void> Handle(http::Exchange& exchange) const;
  boost::asio::awaitable<void> HandleOne(http::Exchange& exchange) const;

 private:
  std::string ListFor(const v1::KeyFact& key) const;
  std::optional<std::string> OneFor(const v1::KeyFact& key, const std::string& name) const;

  const Authenticator& authenticator_;
  const ModelCatalog& catalog_;
};

}  // namespace quire::gateway
