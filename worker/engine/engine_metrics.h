// The engine's counters: what operators see and what the tests of cancellation, batching and leaks assert on.
// Made once by the engine; the engine thread writes them, and reads none: what it needs to know it keeps
// itself.
#pragma once

#include "base/core/metrics.h"

namespace quire::worker {

struct EngineMetrics {
  explicit EngineMetrics(Metrics& metrics);

  prometheus::Gauge& kv_blocks_total;
  prometheus::Gauge& kv_blocks_free;
  prometheus::Gauge& requests_running;
  prometheus::Gauge& requests_waiting;
  prometheus::Gauge& batch_sequences;
  prometheus::Gauge& batch_sequences_max;
  prometheus::Gauge& steps_after_cancel_max;
  prometheus::Counter& steps;
  prometheus::Counter& steps_ahead;
  prometheus::Counter& mixed_steps;
  prometheus::Counter& steps_over_target;
  prometheus::Counter& emitted_tokens;
  prometheus::Counter& scored_tokens;
  prometheus::Counter& computed_tokens;
  prometheus::Counter& preemptions;
  prometheus::Counter& cancels;
  prometheus::Counter& prefix_cache_hit_tokens;
  prometheus::Counter& failed_rows;
  prometheus::Counter& integrity_errors;
  prometheus::Counter& mask_seconds;
  prometheus::Histogram& step_seconds;
  prometheus::Histogram& host_seconds;
};

}  // namespace quire::worker
