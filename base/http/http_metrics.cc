#include "base/http/http_metrics.h"

#include <algorithm>

namespace quire::http {
namespace {

constexpr const char* kClasses[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
constexpr char kOther[] = "other";

}  // namespace

HttpMetrics::HttpMetrics(Metrics& metrics, const RouteTable& routes, const std::string& plane)
    : slow_readers_(metrics.Counter("quire_http_slow_readers_total",
                                    "Requests ended because their client read too slowly.",
                                    {{"plane", plane}})),
      bytes_in_(
          metrics.Counter("quire_http_received_bytes_total", "Bytes read from clients.", {{"plane", plane}})),
      bytes_out_(metrics.Counter("quire_http_sent_bytes_total", "Bytes handed to the kernel for clients.",
                                 {{"plane", plane}})),
      connections_(metrics.Gauge("quire_http_connections", "Open client connections.", {{"plane", plane}})) {
  const auto add_path = [&](const std::string& path) {
    for (const char* status_class : kClasses) {
      requests_[path].push_back(
          &metrics.Counter("quire_http_requests_total", "Replies by route and status class.",
                           {{"plane", plane}, {"route", path}, {"status", status_class}}));
    }
  };
  routes.ForEachPath(add_path);
  add_path(kOther);
  for (size_t i = 0; i < static_cast<size_t>(Rule::kCount); ++i) {
    refusals_.push_back(&metrics.Counter("quire_http_refusals_total",
                                         "Requests refused by the server, by rule.",
                                         {{"plane", plane}, {"rule", LabelOf(static_cast<Rule>(i))}}));
  }
}

void HttpMetrics::CountRequest(std::string_view path, int status) {
  auto found = requests_.find(path);
  if (found == requests_.end()) found = requests_.find(kOther);
  found->second[std::clamp(status / 100, 1, 5) - 1]->Increment();
}

}  // namespace quire::http
