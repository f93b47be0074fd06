// The gateway put together: the public API, the calls to the coordinator and the workers, and the operators'
// page. Made, drained and destroyed by main's thread. Always: after Drain has returned true nothing is owed
// to the ledger.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/core/budgets.h"
#include "base/http/limits.h"
#include "base/http/metrics_plane.h"
#include "base/net/grpc.h"
#include "gateway/api/intake.h"
#include "gateway/api/webhooks/webhook_jobs.h"

namespace quire::gateway {

struct GatewayOptions {
  std::string version = "unknown";  // of the program, as /openapi.json says it
  std::string host = "127.0.0.1";
  int port = 0;  // 0 = any
  http::MetricsPlaneOptions metrics;
  int threads = 1;
  std::string coordinator;  // host:port
  std::string pepper;
  TlsFiles tls;
  bool insecure = false;
  http::HttpLimits limits;
  IntakeLimits intake;
  size_t max_pending_settles = 10'000;                          // beyond, new requests get 503
  BudgetLimits abandonments{.burst = 256, .every_us = 50'000};  // of one key
  int64_t grpc_port = -1;                                       // of the gRPC API; 0 = any, -1 = none
  bool page = true;                                             // at /, and its like
  std::string cors_origin = "*";                                // see http::CorsPolicy::Parse
  WebhookOptions webhooks;
  std::chrono::milliseconds drain_delay{0};    // how long a drain goes on accepting, not ready any more
  std::chrono::milliseconds max_wait{60'000};  // for an admission or another group, in the queue or elsewhere
  std::chrono::milliseconds silence_limit{8'000};         // of a worker that runs an answer
  std::chrono::milliseconds coordinator_patience{8'000};  // with one that is away, for an admission
};

class Gateway {
 public:
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(const GatewayOptions& options);
  ~Gateway();

  // Calls `then` once, from this or another thread, when a full Watch state is there, at least one of its
  // models is loaded, and the others are too (or can't be).
  void WhenReady(std::function<void()> then);

  int api_port() const;
  int grpc_port() const;  // 0: there is none
  int metrics_port() const;

  // Is not ready any more, goes on accepting for the drain's delay, so that load balancers see that and turn
  // away, then stops accepting, lets streams finish for `streams`, ends what is left with an error, then
  // waits up to `settles` until the coordinator has acknowledged all that is owed. False if it has not.
  bool Drain(absl::Duration streams, absl::Duration settles);
  // During Drain, from another thread: what is left ends now.
  void CutShort();

 private:
  struct Parts;
  explicit Gateway(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace quire::gateway
