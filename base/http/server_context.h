// What all connections of one server share. Owned by the server, made before its threads run; read by every
// io thread; only the counters, the log's budgets and `leaving` change.
#pragma once

#include <atomic>
#include <utility>

#include "base/core/clock.h"
#include "base/http/cors.h"
#include "base/http/http_metrics.h"
#include "base/http/limits.h"
#include "base/http/request_lines.h"
#include "base/http/routes.h"
#include "base/http/server.h"

namespace quire::http {

struct ServerContext {
  ServerContext(const HttpServerOptions& options, RouteTable table, Metrics& registry)
      : limits(options.limits),
        routes(std::move(table)),
        cors(options.cors),
        guard(options.guard),
        request_lines(clock, options.fruit, options.on_request),
        metrics(registry, routes, options.plane) {}

  const HttpLimits limits;
  const RouteTable routes;
  const CorsPolicy cors;
  const Guard guard;
  const SystemClock clock;
  RequestLines request_lines;
  HttpMetrics metrics;
  // The server will go: every reply ends its connection, so that clients turn to another one.
  std::atomic<bool> leaving{false};
};

}  // namespace quire::http
