#include "worker/engine/engine_metrics.h"

namespace quire::worker {

EngineMetrics::EngineMetrics(Metrics& metrics)
    : kv_blocks_total(metrics.Gauge("quire_worker_kv_blocks_total", "Blocks of 16 tokens in the KV cache")),
      kv_blocks_free(metrics.Gauge("quire_worker_kv_blocks_free", "Blocks that no sequence refers to")),
      requests_running(metrics.Gauge("quire_worker_requests_running", "Sequences that are in every step")),
      requests_waiting(metrics.Gauge("quire_worker_requests_waiting", "Sequences that wait for room")),
      batch_sequences(metrics.Gauge("quire_worker_batch_sequences", "Sequences in the last step")),
      batch_sequences_max(metrics.Gauge("quire_worker_batch_sequences_max", "Sequences in the largest step")),
      steps_after_cancel_max(
          metrics.Gauge("quire_worker_steps_after_cancel_max",
                        "Most steps begun between a cancel and the release of its blocks")),
      steps(metrics.Counter("quire_worker_steps_total", "Steps begun")),
      steps_ahead(metrics.Counter("quire_worker_steps_ahead_total",
                                  "Of those, the ones launched while the step before still ran")),
      mixed_steps(metrics.Counter("quire_worker_mixed_steps_total",
                                  "Steps with prompts beside sequences that decode")),
      steps_over_target(metrics.Counter("quire_worker_steps_over_target_total",
                                        "Of those, the ones that took longer than --target-step-ms")),
      emitted_tokens(metrics.Counter("quire_worker_emitted_tokens_total", "Tokens sampled and sent")),
      scored_tokens(metrics.Counter("quire_worker_scored_tokens_total",
                                    "Tokens of prompts whose log-probability was asked for and sent")),
      computed_tokens(metrics.Counter("quire_worker_computed_tokens_total", "Rows run, prompt and output")),
      preemptions(
          metrics.Counter("quire_worker_preemptions_total", "Sequences put back to be computed anew")),
      cancels(metrics.Counter("quire_worker_cancels_total",
                              "Requests, or choices of them, cancelled before their end")),
      prefix_cache_hit_tokens(metrics.Counter("quire_worker_prefix_cache_hit_tokens_total",
                                              "Tokens not computed because the prefix cache had them")),
      failed_rows(
          metrics.Counter("quire_worker_failed_rows_total", "Requests ended by logits that were not finite")),
      integrity_errors(metrics.Counter("quire_worker_integrity_errors_total",
                                       "Times that an idle engine found its KV blocks inconsistent")),
      mask_seconds(metrics.Counter("quire_worker_mask_seconds_total",
                                   "Time that grammars' masks took of the engine's thread, between steps")),
      step_seconds(metrics.Histogram("quire_worker_step_seconds",
                                     "Time of a step, launch (or the end of the one before) to collected",
                                     {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5})),
      host_seconds(metrics.Histogram(
          "quire_worker_host_seconds",
          "Time from a step's tokens to the next step's launch, while there is work; 0 if launched before",
          {0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1})) {}

}  // namespace quire::worker
