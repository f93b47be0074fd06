// The options of quire-worker that the coordinator hands on, each declared once: ForEach names them, and both
// --help and a rank's command line are made from it. Plain data, filled by main before any thread starts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/core/cpu_topology.h"
#include "base/core/log_options.h"
#include "base/core/options.h"

namespace quire::coordinator {

// One rank of one incarnation of a group.
struct RankIdentity {
  std::string group_id;
  uint64_t epoch = 0;
  int rank = 0;
  std::string shm_name, log_file;
  int64_t group = 0;  // its number on this host
};

struct WorkerFlags {
  // Handed on as they are.
  std::string model, model_name, rope_scaling, backend = "cpu", isa = "auto", weights = "bf16";
  int64_t kv_blocks = 0, max_batch_tokens = 512, prefill_chunk = 256, max_sequences = 64, admit_headroom = 64;
  int64_t target_step_ms = 80, drain_seconds = 8;
  // The coordinator's own, from which a rank's are derived.
  std::string binary = "quire-worker";
  int64_t groups = 1, ranks = 1, threads_per_rank = 0;
  std::string gpus;
  // Known once the coordinator listens; TLS files and log options are shared by all its processes.
  std::string coordinator_address, owner_lock, tls_cert, tls_key, tls_ca, worker_secret_file;
  std::string matmul_cache;
  LogOptions log;
  bool insecure = false;

  void Declare(Options& options);
  // InvalidArgument: GPUs that are not as many as there are ranks, that stand twice, that nobody computes on,
  // or that several groups would have to guess.
  absl::Status Check() const;
  // The whole command line of a rank on a host with these CPUs, of which a cgroup may leave as much time as
  // `quota` of them have (CpuQuota).
  std::vector<std::string> Command(const RankIdentity& identity, const std::vector<CpuList>& nodes,
                                   std::optional<int64_t> quota = std::nullopt) const;
  // What of it was given, and lasts when the host's CPUs or the quota change. Nobody is started with it.
  std::vector<std::string> LastingCommand(const RankIdentity& identity) const;
  // From SIGTERM to SIGKILL: a group that drains as long as it may ends by itself, after the step that runs
  // then.
  int64_t StopGraceMs() const { return drain_seconds * 1000 + kStepMs + kLastWordsMs; }

 private:
  // The least that the ranks' own watch grants a step (worker/parallel/step_deadline.h), and calls to end.
  static constexpr int64_t kStepMs = 10'000, kLastWordsMs = 4'000;

  struct Cores {
    std::string cpus;  // empty: it runs where the kernel puts it
    int64_t threads = 0;
  };
  // Each group's are its own and, where they are names, the same ones whenever it starts: numbers move up
  // where a GPU is lost. Empty: the worker takes the first ones.
  std::string GpusOf(int64_t group) const;
  Cores CoresOf(int rank, const std::vector<CpuList>& nodes, std::optional<int64_t> quota) const;
  template <typename Self, typename Visitor>
  static void ForEach(Self& self, Visitor&& visit);
};

}  // namespace quire::coordinator
