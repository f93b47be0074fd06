// The program's counters, gauges and histograms, rendered as Prometheus text (prometheus-cpp's registry
// underneath). Each component gets a Metrics& from its main, makes its metrics once in its constructor and
// keeps the references, which live as long as the Metrics, or until a gauge is removed. Labels come from
// closed sets only, never from a client's bytes. Any thread.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <string>
#include <vector>

namespace quire {

class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;

  // Names start with "quire_"; counters end in "_total", units stand in the name ("_seconds", "_bytes").
  prometheus::Counter& Counter(const std::string& name, const std::string& help, const Labels& labels = {});
  prometheus::Gauge& Gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  // Of something that is no more: Text shows it no longer. The reference to it ends.
  void RemoveGauge(const std::string& name, const Labels& labels);
  prometheus::Histogram& Histogram(const std::string& name, const std::string& help,
                                   const std::vector<double>& buckets, const Labels& labels = {});
  // What GET /metrics answers.
  std::string Text() const;

 private:
  prometheus::Registry registry_;
};

}  // namespace quire
