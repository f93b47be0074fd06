#include "worker/kv_plan.h"

#include <unistd.h>

#include <algorithm>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/core/cgroup.h"
#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

constexpr double kGiB = 1 << 30;

std::string Gib(int64_t bytes) { return absl::StrFormat("%.2f GiB", static_cast<double>(bytes) / kGiB); }

std::string WeightsNeed(const KvDemand& demand) {
  std::string text = absl::StrCat("the weights need ", Gib(demand.weight_bytes));
  if (demand.load_bytes > 0) {
    absl::StrAppend(&text, ", while they are converted ", Gib(demand.load_bytes), " more,");
  }
  return text;
}

// Wanted rows go through tensors of tokens (Decoder::AllocateScratch).
int64_t ScratchTokens(const KvDemand& demand) {
  return std::max(demand.max_batch_tokens, demand.max_sequences + demand.scored_rows);
}

// What weights and scratch memory leave for blocks, a tenth being for everything else.
absl::StatusOr<int64_t> RoomForBlocks(const KvDemand& demand) {
  const int64_t usable = demand.memory_bytes / 10 * 9;
  const int64_t held = demand.weight_bytes + demand.exchange_bytes;
  const int64_t serving = demand.sampler_bytes + demand.block_bytes;
  const int64_t least = held + std::max(serving, demand.load_bytes);
  if (usable < least) {
    return absl::FailedPreconditionError(absl::StrCat(
        WeightsNeed(demand), " and this group may use ", Gib(usable),
        " of memory (nine tenths of its share): it needs a machine, a container or a share of at "
        "least ",
        Gib(least / 9 * 10), ", or a smaller model"));
  }
  const int64_t sequence_bytes = demand.sequence_bytes + kOpenPerSequence * demand.request_bytes;
  const int64_t scratch = ScratchTokens(demand) * demand.token_bytes + demand.max_sequences * sequence_bytes;
  const int64_t room = usable - held - demand.sampler_bytes - scratch;
  if (room >= demand.block_bytes) return room;
  const int64_t free = usable - held - serving;
  // A batch has a token of each sequence at least.
  const int64_t sequences =
      (free - demand.scored_rows * demand.token_bytes) / (sequence_bytes + demand.token_bytes);
  const int64_t tokens = sequences < demand.max_sequences
                             ? std::max<int64_t>(1, sequences)
                             : (free - demand.max_sequences * sequence_bytes) / demand.token_bytes;
  return absl::FailedPreconditionError(absl::StrCat(
      "--max-batch-tokens ", demand.max_batch_tokens, " and --max-sequences ", demand.max_sequences, " need ",
      Gib(scratch), " of scratch memory and ", Gib(free),
      " are left beside the weights: give --max-batch-tokens ", tokens,
      sequences < demand.max_sequences ? absl::StrCat(" and --max-sequences ", tokens) : "", " or fewer"));
}

}  // namespace

absl::StatusOr<KvPlan> PlanKvBlocks(const KvDemand& demand) {
  if (demand.max_context < 1 || demand.max_sequences < 1) {
    return absl::InvalidArgumentError("a group needs a context and --max-sequences of at least 1");
  }
  const int64_t one_context = BlocksFor(demand.max_context);
  QUIRE_ASSIGN_OR_RETURN(const int64_t usable, RoomForBlocks(demand));
  // Of a host's memory a quarter is the KV cache's share, unless one context needs more, or the weights leave
  // less.
  const int64_t most = demand.memory_is_ours ? usable : std::min(demand.memory_bytes / 4, usable);
  const int64_t share = most / demand.block_bytes;
  int64_t blocks = demand.asked_blocks;
  if (blocks == 0) blocks = std::clamp(share, one_context, one_context * demand.max_sequences);
  blocks = std::min<int64_t>(blocks, std::numeric_limits<int32_t>::max());
  if (blocks * demand.block_bytes > usable) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the memory of ", Gib(demand.memory_bytes), " can't hold the weights (", Gib(demand.weight_bytes),
        ") and ", blocks, " KV blocks (", Gib(blocks * demand.block_bytes), "; one context of ",
        demand.max_context, " tokens needs ", one_context, "): give --kv-blocks ",
        usable / demand.block_bytes, " or fewer", demand.asked_blocks == 0 ? " for a shorter context" : ""));
  }
  const std::string contexts =
      absl::StrFormat("%.1f", static_cast<double>(blocks) / static_cast<double>(one_context));
  return KvPlan{static_cast<int32_t>(blocks),
                absl::StrCat(blocks, " KV blocks of ", kBlockTokens, " tokens: ",
                             Gib(blocks * demand.block_bytes), ", ", contexts, " full contexts, beside ",
                             Gib(demand.weight_bytes), " of weights in ", Gib(demand.memory_bytes))};
}

SplitDemand SplitBetween(const KvDemand& all, const DeviceShare& share) {
  SplitDemand split{.device = all, .host = all};
  split.device.token_bytes += share.scratch_token_bytes;
  split.device.sequence_bytes += share.scratch_sequence_bytes - share.host_sequence_bytes;
  split.device.request_bytes = split.device.sampler_bytes = split.device.load_bytes = 0;
  split.device.exchange_bytes = share.fixed_bytes;
  split.device.memory_bytes = share.memory_bytes;
  split.device.memory_is_ours = true;
  split.host.weight_bytes = 0;
  split.host.block_bytes = split.host.asked_blocks = 1;
  split.host.token_bytes = share.host_token_bytes;
  split.host.sequence_bytes = share.host_sequence_bytes + share.staging_sequence_bytes;
  split.host.sampler_bytes = share.staging_bytes;  // no thread of the host's samples
  return split;
}

int64_t ReadHostMemory(const std::string& root) {
  int64_t bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  for (const std::string& folder : CgroupFolders("memory", root)) {
    for (const char* file : {"/memory.max", "/memory.limit_in_bytes"}) {  // of v2, of v1
      const auto text = ReadWholeFile(folder + file);
      int64_t limit = 0;
      if (text.ok() && absl::SimpleAtoi(*text, &limit) && limit > 0) bytes = std::min(bytes, limit);
    }
  }
  return bytes;
}

}  // namespace quire::worker
