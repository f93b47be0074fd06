// A rank's metrics plane, and whether it serves: what /readyz answers. Owned by the composition root; any
// thread may set it ready.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/core/metrics.h"
#include "base/http/metrics_plane.h"

namespace quire::worker {

class OpsEndpoint {
 public:
  // `metrics` outlives the endpoint.
  static absl::StatusOr<std::unique_ptr<OpsEndpoint>> Start(const http::MetricsPlaneOptions& options,
                                                            Metrics* metrics);
  int port() const { return plane_->port(); }
  std::string address() const { return plane_->address(); }
  void set_ready(bool ready) { ready_ = ready; }

 private:
  OpsEndpoint() = default;

  std::atomic<bool> ready_{false};
  std::unique_ptr<http::MetricsPlane> plane_;
};

}  // namespace quire::worker
