// The gateway's counters about answers. Made once by gateway.cc, shared by all requests; any thread. Labels
// come from closed sets.
#pragma once

#include <map>
#include <string>

#include "base/core/metrics.h"

namespace quire::gateway {

struct GenerationMetrics {
  explicit GenerationMetrics(Metrics& metrics);

  // Positions written to clients' sockets, from the counter that settles; a prompt's echo alone is none.
  prometheus::Counter& tokens_delivered;
  prometheus::Counter& prompt_tokens;
  prometheus::Counter& client_gone;
  prometheus::Counter& readmissions;
  prometheus::Gauge& streams_open;
  prometheus::Histogram& first_token_seconds;
  prometheus::Histogram& inter_token_seconds;

  // `outcome`: stop, length, budget, refused, error, gone.
  prometheus::Counter& Requests(const std::string& outcome);
  // Answers that went on on another group (or epoch) after their first token. Exact: with the same
  // numerics_id, so that the answer is the one that an undisturbed run gives.
  prometheus::Counter& Migrations(bool exact) { return exact ? migrations_exact_ : migrations_inexact_; }

 private:
  prometheus::Counter& migrations_exact_;
  prometheus::Counter& migrations_inexact_;
  std::map<std::string, prometheus::Counter*> requests_;
};

}  // namespace quire::gateway
