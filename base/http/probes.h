// What machines ask of every program, in one shape: /livez (the loop turns; it hangs on nothing), /healthz
// (the same, its older name), /readyz (may traffic come?) and /metrics. All answer from what is known
// already, in milliseconds, whatever a disk or another program does. Their requests are not logged.
#pragma once

#include <functional>
#include <string>

#include "base/http/routes.h"

namespace quire::http {

struct Readiness {
  bool ready = false;
  std::string state;  // in words: "serving", "draining", ...
};

// Both run on the server's io threads and must not wait for anything.
struct Probes {
  std::function<Readiness()> readiness;
  std::function<std::string()> metrics;  // Prometheus text
};

void AddProbes(RouteTable& routes, Probes probes);

}  // namespace quire::http
