// The flags of a worker, each declared once. Plain data, filled by main before any thread starts; the mock
// group takes the same ones.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/core/log_options.h"
#include "base/core/options.h"
#include "base/http/metrics_plane.h"
#include "base/net/grpc.h"
#include "worker/engine/scheduler.h"
#include "worker/grammar/compile_queue.h"

namespace quire::worker {

struct WorkerConfig {
  std::string model_dir, model_name, rope_scaling;
  bool check = false;
  std::string group_id = "group-0";
  int64_t group_epoch = 1;
  int64_t rank = 0, ranks = 1;
  std::string shm, rendezvous, lws_rendezvous;
  std::string cpus = "all", gpus, backend = "cpu", isa = "auto", weights = "bf16";
  std::string matmul_cache;
  int64_t threads = 0, spin_us = 0;
  std::string coordinator, owner_lock, worker_secret_file;
  std::string host = "127.0.0.1", advertise;
  int64_t port = 0;
  http::MetricsPlaneOptions metrics;
  int64_t kv_blocks = 0, host_groups = 1;
  SchedulerLimits limits;
  int64_t grammar_cache_mb = 256, grammar_timeout_ms = 20'000;
  int64_t drain_seconds = 8;
  TlsFiles tls;
  bool insecure = false;
  LogOptions log;

  void Declare(Options& options);
  // What the coordinator is shown; empty where TLS says who we are, or none was given. Errors:
  // ReadSecretFile's.
  absl::StatusOr<std::string> WorkerSecret() const;
  GrpcServerOptions Listen() const;
  CompileLimits Compile() const;
  // CheckListen's errors and CheckDial's, which rank 0 would else meet once its weights are loaded.
  absl::Status CheckAddresses() const;
  // --model-name, or the last part of --model.
  std::string ModelName() const;
  // Where the ranks of a group on several hosts meet: --rendezvous, or where --shm isn't given either, the
  // leader of this pod's LeaderWorkerSet. Empty: all ranks are on this host.
  std::string Rendezvous() const;
  // Of the group's ranks, that share this host's memory and cores: with --rendezvous each counts itself.
  int64_t ranks_here() const { return Rendezvous().empty() ? ranks : 1; }
  int64_t rank_here() const { return Rendezvous().empty() ? rank : 0; }  // among those

 private:
  void DeclareRank(Options& options);
  void DeclareAddresses(Options& options);
  void DeclareBounds(Options& options);
};

}  // namespace quire::worker
