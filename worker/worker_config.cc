#include "worker/worker_config.h"

#include <filesystem>
#include <limits>

#include "base/core/cpu_topology.h"
#include "base/core/secret_file.h"
#include "base/core/status.h"

namespace quire::worker {

namespace {

constexpr IntLimits kPort{0, 65535}, kCount{1, std::numeric_limits<int32_t>::max()};
constexpr IntLimits kFromZero{0, std::numeric_limits<int32_t>::max()};

}  // namespace

void WorkerConfig::Declare(Options& options) {
  DeclareRank(options);
  DeclareAddresses(options);
  metrics.Declare(options);
  DeclareBounds(options);
  options.Add("tls-cert", &tls.cert, "FILE", "this component's certificate");
  options.Add("tls-key", &tls.key, "FILE", "its key");
  options.Add("tls-ca", &tls.ca, "FILE", "the CA of its peers' certificates");
  options.Add("insecure", &insecure, "allow plaintext gRPC, and plaintext between ranks, off loopback");
  log.Declare(options);
}

void WorkerConfig::DeclareRank(Options& options) {
  options.Add("model", &model_dir, "DIR", "Hugging Face folder of the model");
  options.Require("model");
  options.Add("check", &check, "say whether the model can be loaded, and end");
  options.Add("model-name", &model_name, "NAME", "what clients call the model; default: the folder's name");
  options.Add("rope-scaling", &rope_scaling, "yarn:FACTOR:ORIGINAL",
              "overrides the checkpoint's RoPE scaling");
  options.Add("group-id", &group_id, "ID", "the group this rank belongs to");
  options.Add("group-epoch", &group_epoch, "N", "which life of the group; higher than any before", kCount);
  options.Add("rank", &rank, "R", "this process's place in the group; default: LWS_WORKER_INDEX, or 0",
              kFromZero);
  options.Add(
      "ranks", &ranks, "N",
      "processes of the group; 0, with --check only: one for each NUMA node, as far as the model allows; "
      "on GPUs the fewest that hold it; default: LWS_GROUP_SIZE, or 1",
      IntLimits{0, 64});
  options.Add("shm", &shm, "NAME",
              "shared memory of the group's ranks, new for every epoch; one rank alone needs none");
  options.Add("rendezvous", &rendezvous, "HOST:PORT",
              "where rank 0 listens for the ranks of a group on several hosts (port 29500 if none is given); "
              "default, without --shm: LWS_LEADER_ADDRESS");
  options.Add(
      "cpus", &cpus, "LIST",
      "the CPUs that this rank runs on, as in 0-3,8; all = those that its affinity (taskset, cpuset) leaves");
  options.Add(
      "threads", &threads, "N",
      "compute threads of this rank; 0 = one for each of its CPUs, within its part of a cgroup's CPU quota",
      IntLimits{0, kMaxComputeThreads});
  options.Add(
      "backend", &backend, "auto|cpu|cuda",
      "where the model is computed; auto = an NVIDIA GPU where this build, this machine and the group allow");
  options.Add("gpus", &gpus, "LIST",
              "the group's GPUs on this host, by rank: CUDA's numbers, counted among those that "
              "CUDA_VISIBLE_DEVICES leaves, "
              "or names as nvidia-smi -L says them, as in 2,3 or GPU-8932f937,GPU-5f03; default: the first "
              "ones; with "
              "--check: those that groups may take; default: all");
  options.Add(
      "isa", &isa, "auto|avx2|avx512|amx|amx-twin",
      "instruction set of the kernels; auto = the best that this CPU has, proved by trying it; amx-twin = "
      "amx's answers on any CPU, slowly, to compare with");
  options.Add(
      "weights", &weights, "bf16|int8",
      "what the layers' matrices are kept as; int8: half the memory, faster but on AMX, answers a little off "
      "(docs/OPERATIONS.md)");
  options.Add(
      "matmul-cache", &matmul_cache, "DIR",
      "keeps which matmuls were fastest on this host's GPUs for the next start, which else tries them "
      "anew; made if missing");
  options.Add("spin-us", &spin_us, "us",
              "how long a wait spins before it sleeps; 0 where ranks outnumber cores",
              IntLimits{0, 1'000'000});
}

void WorkerConfig::DeclareAddresses(Options& options) {
  options.Add("coordinator", &coordinator, "HOST:PORT",
              "where to register; not given: serve without a coordinator");
  options.Add(
      "owner-lock", &owner_lock, "FILE",
      "held by the coordinator that starts this group: free for 15 minutes and nobody back, the group ends");
  options.Add(
      "worker-secret-file", &worker_secret_file, "FILE",
      "worker_secret of the coordinator's data folder; needed where there is no TLS, by all ranks with "
      "--rendezvous");
  options.Add("host", &host, "ADDRESS", "where rank 0 serves gRPC");
  options.Add("advertise", &advertise, "HOST[:PORT]",
              "by which gateways reach this worker; default: --host and its port");
  options.Add("port", &port, "PORT", "of gRPC; 0 = any", kPort);
}

void WorkerConfig::DeclareBounds(Options& options) {
  options.Add("kv-blocks", &kv_blocks, "N", "KV blocks of 16 tokens; 0 = what memory allows", kFromZero);
  options.Add(
      "host-groups", &host_groups, "N",
      "groups (with --rendezvous: ranks) that share this host's memory and cores; 0, with --check only: "
      "as many as there are GPUs for, else 1",
      IntLimits{0, 256});
  options.Add("max-batch-tokens", &limits.max_batch_tokens, "tokens", "token budget of one step", kCount);
  options.Add("prefill-chunk", &limits.prefill_chunk, "tokens", "most prompt tokens of one request in a step",
              kCount);
  options.Add(
      "target-step-ms", &limits.target_step_ms, "ms",
      "time for a step of prompts beside streams that run, which get a token each in it; 0 = no limit",
      kFromZero);
  options.Add("max-sequences", &limits.max_sequences, "N", "most sequences in a batch", kCount);
  options.Add("admit-headroom", &limits.headroom_tokens, "tokens",
              "KV room for the next tokens of each running request that is left when another one is admitted",
              kFromZero);
  options.Add("grammar-cache-mb", &grammar_cache_mb, "MB",
              "compiled grammars that are kept; those in use come on top", IntLimits{1, 1 << 20});
  options.Add("grammar-timeout-ms", &grammar_timeout_ms, "ms",
              "how long a request waits for its grammar to be compiled", IntLimits{100, 600'000});
  options.Add("drain-seconds", &drain_seconds, "s", "after SIGTERM: how long open requests may go on",
              kFromZero);
}

absl::StatusOr<std::string> WorkerConfig::WorkerSecret() const {
  if (worker_secret_file.empty() || !tls.empty()) return std::string();
  return ReadSecretFile(
      worker_secret_file,
      "give --worker-secret-file the path of worker_secret in the coordinator's data folder");
}

GrpcServerOptions WorkerConfig::Listen() const { return {host, static_cast<int>(port), tls, insecure}; }

CompileLimits WorkerConfig::Compile() const {
  CompileLimits limits;
  limits.cache_bytes = static_cast<size_t>(grammar_cache_mb) << 20;
  limits.wait = std::chrono::milliseconds(grammar_timeout_ms);
  return limits;
}

absl::Status WorkerConfig::CheckAddresses() const {
  if (rank != 0) return CheckTls(tls);
  QUIRE_RETURN_IF_ERROR(CheckListen(Listen()));
  return coordinator.empty() ? absl::OkStatus() : CheckDial("the coordinator", coordinator, tls, insecure);
}

std::string WorkerConfig::Rendezvous() const {
  if (!rendezvous.empty()) return rendezvous;
  return shm.empty() && ranks > 1 ? lws_rendezvous : "";
}

std::string WorkerConfig::ModelName() const {
  if (!model_name.empty()) return model_name;
  const std::filesystem::path path(model_dir);
  return (path.has_filename() ? path : path.parent_path()).filename();
}

}  // namespace quire::worker
