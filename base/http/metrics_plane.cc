#include "base/http/metrics_plane.h"

#include <utility>

#include "base/core/status.h"

namespace quire::http {

void MetricsPlaneOptions::Declare(Options& options) {
  options.Add("metrics-host", &host, "ADDRESS",
              "of /metrics, /livez and /readyz, which ask for no credential");
  options.Add("metrics-port", &port, "PORT", "of /metrics, /livez and /readyz; 0 = any", {0, 65535});
}

absl::StatusOr<std::unique_ptr<MetricsPlane>> MetricsPlane::Start(const MetricsPlaneOptions& options,
                                                                  Metrics& metrics, Probes probes) {
  RouteTable routes;
  AddProbes(routes, std::move(probes));
  HttpServerOptions server;
  server.host = options.host;
  server.port = static_cast<int>(options.port);
  server.limits = OperatorLimits();
  server.plane = "metrics";
  QUIRE_ASSIGN_OR_RETURN(auto started, Server::Start(server, std::move(routes), metrics));
  return std::unique_ptr<MetricsPlane>(new MetricsPlane(options.host, std::move(started)));
}

}  // namespace quire::http
