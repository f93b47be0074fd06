#include "gateway/generation/metrics.h"

namespace quire::gateway {
namespace {

prometheus::Counter& MigrationCounter(Metrics& metrics, const char* exact) {
  return metrics.Counter("quire_gateway_migrations_total",
                         "Answers that went on on another worker group after their first token; exact: with "
                         "the same numerics",
                         {{"exact", exact}});
}

}  // namespace

GenerationMetrics::GenerationMetrics(Metrics& metrics)
    : tokens_delivered(metrics.Counter("quire_gateway_tokens_delivered_total",
                                       "Completion tokens written to clients' sockets")),
      prompt_tokens(
          metrics.Counter("quire_gateway_prompt_tokens_total", "Prompt tokens of admitted requests")),
      client_gone(
          metrics.Counter("quire_gateway_client_gone_total", "Answers cut short because the client left")),
      readmissions(metrics.Counter("quire_gateway_readmissions_total",
                                   "Placements asked for because a group failed, drained or had no room")),
      streams_open(metrics.Gauge("quire_gateway_streams_open", "Requests between admission and settlement")),
      first_token_seconds(metrics.Histogram("quire_gateway_first_token_seconds",
                                            "From asking for admission to the worker's first token",
                                            {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60})),
      inter_token_seconds(metrics.Histogram("quire_gateway_inter_token_seconds",
                                            "Between two tokens of a stream",
                                            {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5})),
      migrations_exact_(MigrationCounter(metrics, "true")),
      migrations_inexact_(MigrationCounter(metrics, "false")) {
  for (const char* outcome : {"stop", "length", "budget", "refused", "error", "gone"}) {
    requests_[outcome] = &metrics.Counter("quire_gateway_requests_total",
                                          "Generation requests by how they ended", {{"outcome", outcome}});
  }
}

prometheus::Counter& GenerationMetrics::Requests(const std::string& outcome) {
  auto found = requests_.find(outcome);
  return *(found == requests_.end() ? requests_.at("error") : found->second);
}

}  // namespace quire::gateway
