#include "worker/parallel/liveness.h"

#include "absl/strings/str_cat.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

std::string DescribeOverdue(const RankVerdict& verdict, std::span<const RankState> ranks) {
  std::string late;
  for (size_t r = 0; r < ranks.size(); ++r) {
    if (ranks[r].view.left || ranks[r].waiting) continue;
    absl::StrAppend(&late, late.empty() ? "" : "; ", "rank ", r, " did not arrive, it is ", ranks[r].doing);
  }
  if (late.empty()) late = "every rank waits for another";
  return absl::StrCat(late, "; rank ", verdict.rank, " was held for ", verdict.us / 1000, " ms, ",
                      ranks[static_cast<size_t>(verdict.rank)].doing);
}

const char* NameOf(Flow flow) {
  switch (flow) {
    case kExchangeFlow:
      return "tensors";
    case kPlanFlow:
      return "plans";
    case kRecordFlow:
      return "records";
    default:
      return "beats";
  }
}

}  // namespace

absl::Status CheckPlace(int rank, int size) {
  if (size >= 1 && size <= kMaxRanks && rank >= 0 && rank < size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("rank ", rank, " of ", size, " ranks: ranks count from 0 and there are 1..", kMaxRanks));
}

std::string DescribeFault(const RankVerdict& verdict, std::span<const RankState> ranks) {
  const std::string& doing = ranks[static_cast<size_t>(verdict.rank)].doing;
  switch (verdict.fault) {
    case RankVerdict::Fault::kDead:
      return absl::StrCat("rank ", verdict.rank, " is dead: its process ended; it was ", doing);
    case RankVerdict::Fault::kSilent:
      return absl::StrCat("rank ", verdict.rank, " is stopped: no beat for ", verdict.us / 1000,
                          " ms; it was ", doing);
    case RankVerdict::Fault::kCut:
      return absl::StrCat("rank ", verdict.rank, " can't be reached: its host has taken nothing of the ",
                          NameOf(verdict.flow), " sent to it for ", verdict.us / 1000, " ms; it was ", doing);
    case RankVerdict::Fault::kOverdue:
      break;
  }
  return DescribeOverdue(verdict, ranks);
}

void Liveness::BeginTimed(uint64_t step, int64_t limit_us) {
  step_ = step;
  exchanges_in_step_ = 0;
  timed_.Begin(++timed_steps_, limit_us);
}

bool Liveness::MarkLost(const std::string& why) {
  if (lost_.exchange(true)) return false;
  Spread(why);
  return true;
}

void Liveness::Lose(const std::string& why) {
  if (!MarkLost(why)) return;
  Log(LogLevel::kError, "group_lost", "rank", rank(), "reason", MessageOf(LostError()));
  if (callbacks_.on_lost) callbacks_.on_lost();
}

}  // namespace quire::worker
