// POST /v1/inference/{model}: answered as the reply, or where it names a webhook queued, and answered there;
// and GET /v1/webhook-secret, by which a key's owner checks what comes. One for the gateway; coroutines on
// their connection's thread.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "base/http/exchange.h"
#include "gateway/api/pipeline/http_door.h"
#include "gateway/api/webhooks/webhook_jobs.h"

namespace quire::gateway {

class InferenceJobsDoor {
 public:
  // Both must outlive it.
  InferenceJobsDoor(const Pipeline& pipeline, WebhookJobs& jobs);

  boost::asio::awaitable<void> Handle(http::Exchange& exchange) const;
  boost::asio::awaitable<void> TellSecret(http::Exchange& exchange) const;

 private:
  const Authenticator& authenticator_;
  const HttpDoor door_;
  WebhookJobs& jobs_;
};

}  // namespace quire::gateway
