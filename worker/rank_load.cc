// What a rank does until all ranks of its group are loaded.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/host_port.h"
#include "base/core/log.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "base/core/version.h"
#include "worker/load_signals.h"
#include "worker/memory_plan.h"
#include "worker/model_checks.h"
#include "worker/rank.h"

namespace quire::worker {
namespace {

double GbPerSecond(int64_t bytes, int64_t us) {
  const double mb_per_s = static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(us, 1));
  return std::round(mb_per_s) / 1e3;
}

}  // namespace

// By the model's shape, before a byte of its weights is read.
absl::Status Rank::FindDevice() {
  if (config_.check) {
    QUIRE_ASSIGN_OR_RETURN(host_, PlanHost(config_, checkpoint_));
    choice_ = host_.device;
    config_.ranks = host_.ranks;
    config_.host_groups = host_.groups;
    return choice_.name == "cpu" ? CheckKernels(kernels::IsaFor(config_.weights, config_.isa))
                                 : absl::OkStatus();
  }
  QUIRE_ASSIGN_OR_RETURN(choice_, quire::worker::FindDevice(config_, checkpoint_.config));
  Log(LogLevel::kInfo, "device", "name", choice_.name, "reason", choice_.reason);
  return absl::OkStatus();
}

// Of the flags beside one another.
absl::Status Rank::CheckNumbers() const {
  if (config_.rank >= (config_.check ? std::max<int64_t>(1, config_.ranks) : config_.ranks)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rank ", config_.rank, " is not below --ranks ", config_.ranks));
  }
  if (config_.host_groups == 0 && !config_.check)
    return absl::InvalidArgumentError("--host-groups 0 is for --check");
  return config_.limits.Check();
}

absl::Status Rank::CheckModel() {
  QUIRE_RETURN_IF_ERROR(CheckNames(config_));
  QUIRE_ASSIGN_OR_RETURN(bundle_, ReadTextBundle(config_.model_dir));
  QUIRE_ASSIGN_OR_RETURN(checkpoint_, OpenCheckpoint(config_.model_dir, FileIn(bundle_, "config.json"),
                                                     config_.rope_scaling, config_.weights));
  QUIRE_RETURN_IF_ERROR(CheckNumbers());
  QUIRE_RETURN_IF_ERROR(FindDevice());
  QUIRE_ASSIGN_OR_RETURN(advertised_, ChooseAdvertised(config_.advertise, config_.host, config_.coordinator));
  QUIRE_ASSIGN_OR_RETURN(tokenizer_size_,
                         CheckTokenizer(FileIn(bundle_, "tokenizer.json"), checkpoint_.config));
  QUIRE_RETURN_IF_ERROR(CheckRopes(checkpoint_.config));
  QUIRE_ASSIGN_OR_RETURN(const Shard shard, MakeShard(checkpoint_.config, static_cast<int>(config_.rank),
                                                      static_cast<int>(config_.ranks)));
  QUIRE_RETURN_IF_ERROR(CheckWeights(*checkpoint_.files, PlanWeights(checkpoint_.config, shard)));
  const SchedulerLimits& limits = config_.limits;
  agreement_ = {{"program", Version()},
                {"--group-id", config_.group_id},
                {"--group-epoch", absl::StrCat(config_.group_epoch)},
                {"--max-sequences", absl::StrCat(limits.max_sequences)},
                {"--max-batch-tokens", absl::StrCat(limits.max_batch_tokens)},
                {"--prefill-chunk", absl::StrCat(limits.prefill_chunk)},
                {"--kv-blocks", absl::StrCat(config_.kv_blocks)},
                {"--rope-scaling", config_.rope_scaling},
                {"--weights", config_.weights},
                {"device", choice_.name},
                {"block tokens", absl::StrCat(kBlockTokens)},
                {"token ids", absl::StrCat(tokenizer_size_)},
                {"config.json", ToHex(Sha256(checkpoint_.config_json))},
                {"weights", ToHex(checkpoint_.sample)}};
  return PlanMemory();
}

absl::Status Rank::Load() {
  QUIRE_RETURN_IF_ERROR(CheckPlacement(config_));
  QUIRE_RETURN_IF_ERROR(config_.CheckAddresses());
  shm_ = std::make_shared<GroupName>(ShmName());
  const LoadSignals signals([this] {  // nobody waits for an answer of this rank yet
    shm_->GiveUp();
    std::_Exit(0);
  });
  QUIRE_ASSIGN_OR_RETURN(ops_, OpsEndpoint::Start(config_.metrics, &metrics_));
  QUIRE_RETURN_IF_ERROR(CheckModel());
  QUIRE_ASSIGN_OR_RETURN(worker_secret_, config_.WorkerSecret());
  QUIRE_RETURN_IF_ERROR(JoinRanks());
  QUIRE_RETURN_IF_ERROR(OpenDevice());
  QUIRE_RETURN_IF_ERROR(AgreeOn({{"kernels", device_.backend->family()}}, *group_.rendezvous));
  QUIRE_RETURN_IF_ERROR(AgreeOnKvBlocks());
  const bool can_run_ahead = TransformerRunner::CanRunAhead(*device_.backend, *device_.communicator);
  QUIRE_ASSIGN_OR_RETURN(steps_ahead_, AllSay(can_run_ahead, *group_.rendezvous));
  const int64_t started_us = clock_.NowUs();
  group_.liveness->Enter(Phase::kLoading);
  QUIRE_RETURN_IF_ERROR(LoadModel());
  const int64_t load_us = clock_.NowUs() - started_us, bytes = runner_->weight_bytes();
  metrics_.Gauge("quire_worker_weight_bytes", "Bytes of weights that this rank holds")
      .Set(static_cast<double>(bytes));
  return AgreeOnLoaded(load_us);
}

// The rank with the least memory decides.
absl::Status Rank::AgreeOnKvBlocks() {
  QUIRE_ASSIGN_OR_RETURN(const auto blocks, group_.rendezvous->AllGather(absl::StrCat(kv_blocks_)));
  for (const std::string& text : blocks) {
    int32_t of_rank = 0;
    if (!absl::SimpleAtoi(text, &of_rank)) return absl::InternalError("a rank's record does not parse");
    if (of_rank < kv_blocks_) {
      Log(LogLevel::kWarn, "kv_blocks", "here", kv_blocks_, "least_of_all_ranks", of_rank);
      kv_blocks_ = of_rank;
    }
  }
  return absl::OkStatus();
}

absl::Status Rank::AgreeOnLoaded(int64_t load_us) {
  const int64_t limit_us = LoadLimitUs(load_us, runner_->weight_bytes());
  QUIRE_RETURN_IF_ERROR(AgreeOn({{"numerics id", runner_->numerics_id()}}, *group_.rendezvous, limit_us));
  const std::string metrics_host = HostBeside(config_.metrics.host, advertised_);
  QUIRE_ASSIGN_OR_RETURN(rank_metrics_,
                         group_.rendezvous->AllGather(JoinHostPort(metrics_host, ops_->port())));
  return absl::OkStatus();
}

StepDeadlineOptions Rank::StepLimits() const { return {.weight_bytes = runner_->weight_bytes()}; }

absl::Status Rank::PlanMemory() {
  QUIRE_ASSIGN_OR_RETURN(const KvPlan plan, PlanRankMemory(config_, checkpoint_, tokenizer_size_, choice_));
  kv_blocks_ = plan.blocks;
  if (config_.rank == 0 || config_.ranks_here() < config_.ranks) {
    Log(LogLevel::kInfo, "kv_plan", "plan", plan.summary);
  }
  return absl::OkStatus();
}

std::string Rank::ShmName() const {
  if (!config_.shm.empty()) return config_.shm;
  return absl::StrCat("quire-", config_.group_id, "-", config_.group_epoch, "-", getpid());
}

absl::Status Rank::JoinRanks() {
  const GroupTerms terms{
      .shm = shm_, .buffers = BuffersFor(config_, checkpoint_.config), .agreement = agreement_};
  const auto on_drain_asked = [this] {  // at every beat; the first one counts
    if (config_.rank != 0) ops_->set_ready(false);
    if (serving_) RequestShutdown();
  };
  QUIRE_ASSIGN_OR_RETURN(group_, JoinGroup(config_, terms, {[this] { OnLost(); }, on_drain_asked}));
  return absl::OkStatus();
}

absl::Status Rank::OpenDevice() {
  kernels::BackendOptions device;
  device.device = choice_.name;
  device.threads = static_cast<int>(config_.threads);
  device.spin_us = static_cast<int>(config_.spin_us);
  device.isa = kernels::IsaFor(config_.weights, config_.isa);
  device.gpu = choice_.index;
  device.matmul_cache = config_.matmul_cache;
  QUIRE_ASSIGN_OR_RETURN(device_, kernels::MakeDevice(device, *group_.rendezvous));
  device_.communicator->WhenLost([this](const absl::Status& why) { group_.liveness->Lose(MessageOf(why)); });
  MutexLock lock(&end_mutex_);
  stopped_with_group_ = device_.communicator.get();
  return absl::OkStatus();
}

absl::Status Rank::LoadModel() {
  TransformerOptions options;
  options.kv_blocks = kv_blocks_;
  options.max_batch_tokens = config_.limits.max_batch_tokens;
  options.max_sequences = config_.limits.max_sequences;
  options.max_wanted_rows = config_.limits.wanted_rows();
  options.tokenizer_size = tokenizer_size_;
  options.steps_ahead = steps_ahead_;
  options.load_threads = static_cast<int>(config_.threads);
  options.ranks_share_a_disk = config_.ranks_here() == config_.ranks;
  const int64_t started_us = clock_.NowUs();
  int64_t last_percent = -1, read_bytes = 0, read_us = 0;
  const auto progress = [&](const LoadedSoFar& loaded) {
    if (std::exchange(read_bytes, loaded.read_bytes) != loaded.read_bytes) {
      read_us = clock_.NowUs() - started_us;  // the last time: when all weights are loaded
    }
    const int64_t percent = 100 * loaded.bytes / std::max<int64_t>(loaded.total_bytes, 1) / 10 * 10;
    if (percent == std::exchange(last_percent, percent)) return;
    Log(LogLevel::kInfo, "loading", "what",
        absl::StrCat("weights ", percent, " % (", loaded.bytes >> 20, " of ", loaded.total_bytes >> 20,
                     " MiB, ", GbPerSecond(loaded.read_bytes, clock_.NowUs() - started_us), " GB/s)"));
  };
  QUIRE_ASSIGN_OR_RETURN(runner_, TransformerRunner::Load(checkpoint_, options, *device_.backend,
                                                          *device_.communicator, progress));
  Log(LogLevel::kInfo, "weights_loaded", "mib", runner_->weight_bytes() >> 20, "read_mib", read_bytes >> 20,
      "ms", read_us / 1000, "read_gb_per_s", GbPerSecond(read_bytes, read_us));
  checkpoint_.files.reset();  // the backend has its own copy
  return absl::OkStatus();
}

}  // namespace quire::worker
