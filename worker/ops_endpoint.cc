#include "worker/ops_endpoint.h"

#include "base/core/status.h"

namespace quire::worker {

absl::StatusOr<std::unique_ptr<OpsEndpoint>> OpsEndpoint::Start(const http::MetricsPlaneOptions& options,
                                                                Metrics* metrics) {
  std::unique_ptr<OpsEndpoint> endpoint(new OpsEndpoint());
  http::Probes probes;
  probes.readiness = [self = endpoint.get()]() -> http::Readiness {
    const bool ready = self->ready_;
    return {.ready = ready, .state = ready ? "serving" : "loading or stopping"};
  };
  probes.metrics = [metrics] { return metrics->Text(); };
  QUIRE_ASSIGN_OR_RETURN(endpoint->plane_, http::MetricsPlane::Start(options, *metrics, std::move(probes)));
  return endpoint;
}

}  // namespace quire::worker
