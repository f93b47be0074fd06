// The metrics plane of a program: a small server of its own for Prometheus and probes, bound apart from what
// clients and operators use, and without a credential: keep it inside. Its two flags are declared here for
// all programs. Owned by the composition root; one thread of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/core/host_port.h"
#include "base/core/metrics.h"
#include "base/core/options.h"
#include "base/http/probes.h"
#include "base/http/server.h"

namespace quire::http {

struct MetricsPlaneOptions {
  std::string host = "127.0.0.1";
  int64_t port = 0;  // 0 = any

  // --metrics-host and --metrics-port.
  void Declare(Options& options);
};

class MetricsPlane {
 public:
  // `metrics` outlives it. Unavailable: the address is taken or not ours.
  static absl::StatusOr<std::unique_ptr<MetricsPlane>> Start(const MetricsPlaneOptions& options,
                                                             Metrics& metrics, Probes probes);
  int port() const { return server_->port(); }
  std::string address() const { return JoinHostPort(host_, port()); }

 private:
  MetricsPlane(std::string host, std::unique_ptr<Server> server)
      : host_(std::move(host)), server_(std::move(server)) {}

  const std::string host_;
  const std::unique_ptr<Server> server_;
};

}  // namespace quire::http
