// A rank's door for operators: /metrics, /healthz (alive) and /readyz (serving). Owned by the composition
// root; any thread may set it ready.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/core/metrics.h"
#include "base/net/http_server.h"

namespace quire::worker {

class OpsEndpoint {
 public:
  // `metrics` outlives the endpoint.
  static absl::StatusOr<std::unique_ptr<OpsEndpoint>> Start(const std::string& host, int port,
                                                            const Metrics* metrics);
  int port() const { return server_->port(); }
  void set_ready(bool ready) { ready_ = ready; }

 private:
  OpsEndpoint() = default;
  HttpReply Answer(const HttpRequest& request, const Metrics& metrics) const;

  std::atomic<bool> ready_{false};
  std::unique_ptr<HttpServer> server_;
};

}  // namespace quire::worker
