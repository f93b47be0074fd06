// GET /v1/models: the models that the caller's key may use and this gateway can serve. One for the gateway;
// Handle is a coroutine on its connection's thread.
#pragma once

#include <boost/asio/awaitable.hpp>

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

 private:
  std::string ListFor(const v1::KeyFact& key) const;

  const Authenticator& authenticator_;
  const ModelCatalog& catalog_;
};

}  // namespace quire::gateway
