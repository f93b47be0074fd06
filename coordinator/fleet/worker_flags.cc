#include "coordinator/fleet/worker_flags.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace quire::coordinator {
namespace {

constexpr int64_t kSpinUs = 50;
constexpr IntLimits kCount{0, std::numeric_limits<int32_t>::max()};
constexpr IntLimits kPositive{1, std::numeric_limits<int32_t>::max()};

}  // namespace

// visit(name, &field, unit, help[, limits]) for each option that is handed on unchanged.
template <typename Self, typename Visitor>
void WorkerFlags::ForEach(Self& self, Visitor&& visit) {
  visit("model", &self.model, "DIR", "Hugging Face folder of the model");
  visit("model-name", &self.model_name, "NAME", "what clients call the model");
  visit("rope-scaling", &self.rope_scaling, "yarn:FACTOR:ORIGINAL",
        "overrides the checkpoint's RoPE scaling");
  visit("backend", &self.backend, "auto|cpu|cuda",
        "where the workers compute; auto = a GPU where there is one");
  visit("isa", &self.isa, "auto|avx2|avx512|amx", "instruction set of the workers' kernels");
  visit("weights", &self.weights, "bf16|int8", "what the layers' matrices are kept as");
  visit("kv-blocks", &self.kv_blocks, "N", "KV blocks of 16 tokens per group; 0 = what memory allows",
        kCount);
  visit("max-batch-tokens", &self.max_batch_tokens, "tokens", "token budget of one step", kPositive);
  visit("prefill-chunk", &self.prefill_chunk, "tokens", "most prompt tokens of one request in a step",
        kPositive);
  visit("target-step-ms", &self.target_step_ms, "ms",
        "time for a step of prompts beside streams that run, which get a token each in it; 0 = no limit",
        kCount);
  visit("max-sequences", &self.max_sequences, "N", "most sequences in a batch", kPositive);
  visit("admit-headroom", &self.admit_headroom, "tokens",
        "KV room for the next tokens of each running request that is left when another one is admitted",
        kCount);
  visit("drain-seconds", &self.drain_seconds, "s",
        "how long a group that is told to end lets its streams run; what is left goes on elsewhere", kCount);
}

void WorkerFlags::Declare(Options& options) {
  ForEach(*this, [&](const char* name, auto* target, const char* unit, const char* help, auto... limits) {
    options.Add(name, target, unit, help, limits...);
  });
  options.Add("worker-binary", &binary, "PATH", "program of a rank");
  options.Add("groups", &groups, "N", "worker groups on this host; 0 = none, external ones register",
              IntLimits{0, 256});
  options.Add("tensor-parallel", &ranks, "N", "ranks (processes) per group", IntLimits{1, 64});
  options.Add(
      "gpus", &gpus, "LIST",
      "GPUs of the groups, the first --tensor-parallel of them for the first one: numbers or names, as "
      "quire-worker takes them; default: as many as there are ranks, from 0 on");
  options.Add(
      "threads-per-rank", &threads_per_rank, "N",
      "compute threads; 0 = the rank's part of its cores: of its NUMA node's where there is a node for each "
      "rank of a group (groups share them), else of all; and of a cgroup's CPU quota",
      IntLimits{0, kMaxComputeThreads});
}

absl::Status WorkerFlags::Check() const {
  if (gpus.empty()) {
    // Which GPUs there are only a worker knows: a group whose numbers are none would never start, and `auto`
    // promises that it does.
    if (backend != "auto" || groups <= 1) return absl::OkStatus();
    return absl::InvalidArgumentError("--backend auto of several groups takes --gpus: or give --backend cpu");
  }
  if (backend == "cpu") return absl::InvalidArgumentError("--gpus is for --backend cuda or auto");
  std::vector<std::string> named = absl::StrSplit(gpus, ',');
  if (std::ssize(named) != groups * ranks) {
    return absl::InvalidArgumentError(absl::StrCat("--gpus names ", named.size(), " GPUs, and ", groups,
                                                   " group(s) of ", ranks, " rank(s) take ", groups * ranks));
  }
  // Of two groups, since each worker sees its own group's alone.
  std::sort(named.begin(), named.end());
  const auto twice = std::adjacent_find(named.begin(), named.end());
  if (twice == named.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--gpus names \"", *twice, "\" twice"));
}

std::string WorkerFlags::GpusOf(int64_t group) const {
  if (backend == "cpu" || (gpus.empty() && groups <= 1)) return "";
  std::vector<std::string> all, own;
  if (!gpus.empty()) all = absl::StrSplit(gpus, ',');
  for (int64_t i = group * ranks; i < (group + 1) * ranks; ++i) {
    own.push_back(i < std::ssize(all) ? all[static_cast<size_t>(i)] : absl::StrCat(i));
  }
  return absl::StrJoin(own, ",");
}

// Where there is a node for each rank of a group, rank r of every group has the r-th part of the nodes; else,
// and beside GPUs, whose nodes nobody asks for, the kernel places the ranks.
WorkerFlags::Cores WorkerFlags::CoresOf(int rank, const std::vector<CpuList>& nodes,
                                        std::optional<int64_t> quota) const {
  const int64_t count = std::ssize(nodes);
  const bool beside_gpus = backend == "cuda" || !gpus.empty();
  const bool own_nodes = !beside_gpus && ranks > 1 && ranks <= count;
  const int64_t first = own_nodes ? rank * count / ranks : 0;
  const int64_t end = own_nodes ? (rank + 1) * count / ranks : count;
  CpuList cpus;
  for (int64_t i = first; i < end; ++i) cpus.insert(cpus.end(), nodes[i].begin(), nodes[i].end());
  std::sort(cpus.begin(), cpus.end());
  const int64_t sharers = std::max<int64_t>(1, own_nodes ? groups : groups * ranks);
  Cores cores;
  if (own_nodes) cores.cpus = FormatCpuList(cpus);
  const int64_t part = ThreadsWithin(std::ssize(cpus) / sharers, quota, std::max<int64_t>(1, groups * ranks));
  cores.threads = threads_per_rank;
  if (cores.threads == 0 && count > 0) cores.threads = std::min(part, kMaxComputeThreads);
  return cores;
}

std::vector<std::string> WorkerFlags::Command(const RankIdentity& identity, const std::vector<CpuList>& nodes,
                                              std::optional<int64_t> quota) const {
  int64_t host_cpus = 0;
  for (const CpuList& node : nodes) host_cpus += std::ssize(node);
  if (quota) host_cpus = std::min(host_cpus, *quota);
  const Cores cores = CoresOf(identity.rank, nodes, quota);
  std::vector<std::string> argv{binary};
  auto add = [&](absl::string_view name, const auto& value) {
    std::string text = absl::StrCat(value);
    if (text.empty()) return;  // it was not given
    argv.push_back(absl::StrCat("--", name));
    argv.push_back(std::move(text));
  };
  ForEach(*this, [&](const char* name, const auto* value, auto...) { add(name, *value); });
  add("group-id", identity.group_id);
  add("group-epoch", identity.epoch);
  add("rank", identity.rank);
  add("ranks", ranks);
  add("shm", identity.shm_name);
  add("gpus", GpusOf(identity.group));
  add("cpus", cores.cpus);
  add("threads", cores.threads);
  add("host-groups", std::max<int64_t>(1, groups));
  add("spin-us", groups * ranks > host_cpus ? 0 : kSpinUs);
  if (backend != "cpu") add("matmul-cache", matmul_cache);
  add("coordinator", coordinator_address);
  add("owner-lock", owner_lock);
  for (std::string& flag : log.FlagsFor(identity.log_file)) argv.push_back(std::move(flag));
  add("tls-cert", tls_cert);
  add("tls-key", tls_key);
  add("tls-ca", tls_ca);
  add("worker-secret-file", worker_secret_file);
  if (insecure) argv.push_back("--insecure");
  return argv;
}

// On GPUs how many other groups there are follows how many GPUs answered, and changes nothing that a rank has
// taken of the host. On the CPU it does: a rank's KV blocks are of its group's part of the memory.
std::vector<std::string> WorkerFlags::LastingCommand(const RankIdentity& identity) const {
  std::vector<std::string> command = Command(identity, {});
  if (backend != "cuda") return command;
  const auto flag = std::find(command.begin(), command.end(), "--host-groups");
  command.erase(flag, flag + 2);
  return command;
}

}  // namespace quire::coordinator
