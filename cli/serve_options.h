// The options of `quire serve`, declared once. Filled by main before anything starts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/log_options.h"
#include "base/core/options.h"

namespace quire::cli {

struct ServeOptions {
  std::string model;       // folder
  std::string model_name;  // empty = the folder's name
  std::string tensor_parallel = "auto";
  std::string groups = "auto", gpus;
  std::string host = "127.0.0.1";
  int64_t port = 8000, admin_port = 8001;
  std::string data = "data";
  std::string cors_origin = "*";
  int64_t drain_delay_ms = 0;                             // nobody balances between gateways here
  int64_t stream_drain_seconds = 300, drain_seconds = 8;  // of the gateway; of a group
  std::string ready_file;
  // Passed on to the coordinator, and by it to the workers; empty = their own default.
  std::string kv_blocks, max_batch_tokens, prefill_chunk, target_step_ms, max_sequences, admit_headroom,
      threads_per_rank, rope_scaling, backend, isa, weights;  // backend: as the worker's check chooses
  std::string prompt_nano_usd, cached_prompt_nano_usd, completion_nano_usd, max_queue, reap_after,
      coordinator_metrics_port;
  // Passed on to the gateway.
  std::string grpc_port, page, max_connections, max_connections_per_ip, max_unadmitted_per_key,
      body_budget_mib, gateway_metrics_port, webhook_allow, webhook_ca, webhook_jobs, webhook_retry_ms;
  LogOptions log;  // of the programs, in DATA/logs

  void Declare(Options& options);
  // The number that --tensor-parallel gives, and --groups; 0 = auto. InvalidArgument names the flag.
  absl::StatusOr<int64_t> Ranks() const;
  absl::StatusOr<int64_t> Groups() const;
  // InvalidArgument: what a program of ours would refuse only when it is too late to say it well.
  absl::Status Check() const;
  // What clients call the model.
  std::string ModelName() const;
  // Every option that the program gets, was given and is passed on, as its flags.
  enum class Program { kCoordinator, kGateway, kCheck };  // kCheck: quire-worker --check
  std::vector<std::string> PassedOnTo(Program program) const;
  // The longest that the gateway needs from SIGTERM to its end, and the coordinator with its groups.
  int64_t GatewayStopMs() const;
  int64_t CoordinatorStopMs() const;
};

}  // namespace quire::cli
