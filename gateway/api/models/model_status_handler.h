// GET /v1/status/{id}: how a model that the caller's key may use is doing, as this gateway sees it. One for
// the gateway; a coroutine on its connection's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "base/core/clock.h"
#include "base/http/exchange.h"
#include "gateway/api/authenticator.h"
#include "gateway/generation/model_activity.h"
#include "gateway/generation/model_catalog.h"

namespace quire::gateway {

class ModelStatusHandler {
 public:
  // All must outlive it.
  ModelStatusHandler(const Authenticator& authenticator, const ModelCatalog& catalog,
                     const ModelActivity& activity, const Clock& clock)
      : authenticator_(authenticator), catalog_(catalog), activity_(activity), clock_(clock) {}

  boost::asio::awaitable<void> Handle(http::Exchange& exchange) const;

 private:
  std::string StatusOf(const v1::ModelFact& model) const;

  const Authenticator& authenticator_;
  const ModelCatalog& catalog_;
  const ModelActivity& activity_;
  const Clock& clock_;
};

}  // namespace quire::gateway
