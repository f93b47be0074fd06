// One server's counters and gauges. Made once per server; labels come from the routes and rules that
// exist, never from a client. Any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/metrics.h"
#include "base/http/refusal.h"
#include "base/http/routes.h"

namespace quire::http {

class HttpMetrics {
 public:
  // `plane` tells a program's servers apart: api, admin, metrics.
  HttpMetrics(Metrics& metrics, const RouteTable& routes, const std::string& plane);

  // `path` is a route's path; anything else counts as "other".
  void CountRequest(std::string_view path, int status);
  void CountRefusal(Rule rule) { refusals_[static_cast<size_t>(rule)]->Increment(); }
  void CountSlowReader() { slow_readers_.Increment(); }
  void AddConnections(int change) { connections_.Increment(change); }
  void AddBytesIn(size_t count) { bytes_in_.Increment(static_cast<double>(count)); }
  void AddBytesOut(size_t count) { bytes_out_.Increment(static_cast<double>(count)); }

 private:
  using ByClass = std::vector<prometheus::Counter*>;  // 1xx is 0, ...

  std::map<std::string, ByClass, std::less<>> requests_;
  std::vector<prometheus::Counter*> refusals_;
  prometheus::Counter& slow_readers_;
  prometheus::Counter& bytes_in_;
  prometheus::Counter& bytes_out_;
  prometheus::Gauge& connections_;
};

}  // namespace quire::http
