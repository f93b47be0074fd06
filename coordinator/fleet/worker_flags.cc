#include "coordinator/fleet/worker_flags.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

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
  visit("kv-blocks", &self.kv_blocks, "N", "KV blocks of 16 tokens per group; 0 = what memory allows",
        kCount);
  visit("max-batch-tokens", &self.max_batch_tokens, "tokens", "token budget of one step", kPositive);
  visit("prefill-chunk", &self.prefill_chunk, "tokens", "most prompt tokens of one request in a step",
        kPositive);
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
  options.Add("threads-per-rank", &threads_per_rank, "N", "compute threads; 0 = the cores shared out evenly",
              IntLimits{0, 1024});
}

std::vector<std::string> WorkerFlags::Command(const RankIdentity& identity, unsigned cores) const {
  const int64_t host_ranks = std::max<int64_t>(1, groups * ranks);
  const int64_t threads =
      threads_per_rank > 0 ? threads_per_rank : std::max<int64_t>(1, int64_t{cores} / host_ranks);
  std::vector<std::string> argv{binary};
  auto add = [&](absl::string_view name, const auto& value) {
    argv.push_back(absl::StrCat("--", name));
    argv.push_back(absl::StrCat(value));
  };
  ForEach(*this, [&](const char* name, const auto* value, auto...) { add(name, *value); });
  add("group-id", identity.group_id);
  add("group-epoch", identity.epoch);
  add("rank", identity.rank);
  add("ranks", ranks);
  add("shm", identity.shm_name);
  add("threads", threads);
  add("host-groups", std::max<int64_t>(1, groups));
  add("spin-us", host_ranks > int64_t{cores} ? 0 : kSpinUs);
  add("coordinator", coordinator_address);
  if (!owner_lock.empty()) add("owner-lock", owner_lock);
  for (std::string& flag : log.FlagsFor(identity.log_file)) argv.push_back(std::move(flag));
  if (!tls_cert.empty()) add("tls-cert", tls_cert);
  if (!tls_key.empty()) add("tls-key", tls_key);
  if (!tls_ca.empty()) add("tls-ca", tls_ca);
  if (!worker_secret_file.empty()) add("worker-secret-file", worker_secret_file);
  if (insecure) argv.push_back("--insecure");
  return argv;
}

}  // namespace quire::coordinator
