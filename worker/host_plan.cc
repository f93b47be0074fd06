#include "worker/host_plan.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/core/status.h"
#include "worker/gpu_groups.h"
#include "worker/memory_plan.h"
#include "worker/model/shard.h"
#include "worker/parallel/liveness.h"
#include "worker/rank_cpus.h"

namespace quire::worker {
namespace {

using GpuList = std::vector<kernels::DeviceChoice>;

constexpr int64_t kMostGpus = 8;  // of a group that we choose

kernels::DeviceDemand DemandOf(const WorkerConfig& config, const ModelConfig& model) {
  return {.backend = config.backend,
          .weights = config.weights,
          .gpus = config.gpus,
          .rank_here = config.rank_here(),
          .ranks_here = config.ranks_here(),
          .host_groups = config.host_groups,
          .hidden = model.hidden,
          .ffn = model.ffn,
          .head_dim = model.head_dim,
          .vocab = model.vocab};
}

HostPlan PlanOnCpu(const WorkerConfig& config, const ModelConfig& model, const kernels::DeviceChoice& cpu) {
  HostPlan plan;
  plan.device = cpu;
  plan.groups = std::max<int64_t>(1, config.host_groups);
  const RankChoice choice = config.ranks > 0 ? RankChoice{config.ranks, "as asked"}
                                             : ChooseRanks(std::min<int64_t>(MostRanks(model), kMaxRanks));
  plan.ranks = choice.ranks;
  plan.reason = choice.reason;
  if (config.backend != "cpu") plan.notes = {absl::StrCat("on the CPU: ", cpu.reason)};
  return plan;
}

// Whether a GPU holds its part.
absl::Status Fits(const WorkerConfig& config, const Checkpoint& checkpoint, int64_t ranks, int64_t groups,
                  const kernels::DeviceChoice& gpu) {
  WorkerConfig of_so_many = config;
  if (config.ranks == 0) of_so_many.ranks = ranks;
  of_so_many.host_groups = groups;
  return PlanRankMemory(of_so_many, checkpoint, checkpoint.config.vocab, gpu).status();
}

}  // namespace

std::string HostPlan::Json() const {
  const nlohmann::json said = {{"ranks", absl::StrCat(ranks)},     {"groups", absl::StrCat(groups)},
                               {"backend", device.name},           {"reason", reason},
                               {"gpus", absl::StrJoin(gpus, ",")}, {"notes", notes}};
  return said.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);  // a path may be of any bytes
}

absl::StatusOr<HostPlan> PlanOnGpus(const WorkerConfig& config, const Checkpoint& checkpoint,
                                    const GpuList& gpus) {
  GpuWish wish;
  wish.ranks = config.ranks_here();
  wish.most_ranks = std::min(MostRanks(checkpoint.config), kMostGpus);
  wish.groups = config.host_groups;
  const auto fits = [&](int64_t ranks, int64_t groups, const kernels::DeviceChoice& gpu) {
    return Fits(config, checkpoint, ranks, groups, gpu);
  };
  QUIRE_ASSIGN_OR_RETURN(GpuGroups groups, ChooseGpuGroups(gpus, wish, fits));
  HostPlan plan;
  plan.ranks = config.ranks > 0 ? config.ranks : groups.ranks;
  plan.groups = static_cast<int64_t>(groups.groups.size());
  for (const std::vector<int>& group : groups.groups) {
    for (const int place : group) {
      const kernels::DeviceChoice& gpu = gpus[static_cast<size_t>(place)];
      if (plan.gpus.empty() || gpu.memory_bytes < plan.device.memory_bytes) plan.device = gpu;
      plan.gpus.push_back(gpu.id.empty() ? absl::StrCat(gpu.index) : gpu.id);
    }
  }
  plan.reason =
      absl::StrCat(config.ranks > 0 ? "as asked" : "the fewest that hold the model and its KV cache", ", on ",
                   plan.gpus.size(), " of ", gpus.size(), " GPUs, ", plan.device.product);
  plan.notes = std::move(groups.left);
  return plan;
}

absl::StatusOr<HostPlan> PlanHost(const WorkerConfig& config, const Checkpoint& checkpoint) {
  const absl::StatusOr<GpuList> gpus = kernels::ListGpus(DemandOf(config, checkpoint.config));
  absl::Status why = gpus.status();
  if (gpus.ok()) {
    absl::StatusOr<HostPlan> plan = PlanOnGpus(config, checkpoint, *gpus);
    if (plan.ok()) return plan;
    why = plan.status();
  }
  QUIRE_ASSIGN_OR_RETURN(const kernels::DeviceChoice cpu, kernels::WithoutGpu(config.backend, why));
  return PlanOnCpu(config, checkpoint.config, cpu);
}

absl::StatusOr<kernels::DeviceChoice> FindDevice(const WorkerConfig& config, const ModelConfig& model) {
  return kernels::ChooseDevice(DemandOf(config, model));
}

}  // namespace quire::worker
