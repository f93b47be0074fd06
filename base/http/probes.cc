#include "base/http/probes.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/http/exchange.h"

namespace quire::http {
namespace {

// Answers with what `make` gives at the moment.
Handler Answer(std::function<Reply()> make) {
  return [make = std::move(make)](Exchange& exchange) { return exchange.Send(make()); };
}

Reply ReadyReply(const Readiness& readiness) {
  nlohmann::ordered_json body;
  body["ready"] = readiness.ready;
  body["state"] = readiness.state;
  return {.status = readiness.ready ? 200 : 503, .body = body.dump() + "\n"};
}

}  // namespace

void AddProbes(RouteTable& routes, Probes probes) {
  const auto add = [&](const char* path, std::function<Reply()> make) {
    routes.Add("GET", path, Answer(std::move(make)), RouteTable::Kind::kProbe);
  };
  for (const char* path : {"/livez", "/healthz"})
    add(path, [] { return Reply{.body = "{\"alive\":true}\n"}; });
  add("/readyz", [readiness = std::move(probes.readiness)] { return ReadyReply(readiness()); });
  add("/metrics", [metrics = std::move(probes.metrics)] {
    return Reply{.body = metrics(), .content_type = "text/plain; version=0.0.4; charset=utf-8"};
  });
}

}  // namespace quire::http
