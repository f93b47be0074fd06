#include "worker/parallel/rank_watch.h"

#include <algorithm>

namespace quire::worker {

std::optional<RankVerdict> RankWatch::Look(int64_t now_us, std::span<const RankView> ranks) {
  const int64_t gap_us = std::max<int64_t>(0, now_us - last_us_.value_or(now_us));
  last_us_ = now_us;
  const int64_t awake_us = std::min(gap_us, 2 * limits_.beat_us);
  std::optional<RankVerdict> verdict;
  for (size_t r = 0; r < seen_.size(); ++r) {
    Note(ranks[r], awake_us, seen_[r]);
    if (!verdict) verdict = Judge(static_cast<int>(r), ranks[r]);
  }
  return verdict;
}

void RankWatch::Note(const RankView& now, int64_t awake_us, Seen& seen) {
  seen.silent_us = now.beats != seen.beats ? 0 : seen.silent_us + awake_us;
  seen.in_step_us = now.step == 0 || now.step != seen.step ? 0 : seen.in_step_us + awake_us;
  seen.beats = now.beats;
  seen.step = now.step;
  for (size_t flow = 0; flow < kFlows; ++flow) {
    const AckState& acks = now.acks[flow];
    const bool moves = !acks.waiting || acks.acked_bytes != seen.acked_bytes[flow];
    seen.cut_us[flow] = moves ? 0 : seen.cut_us[flow] + awake_us;
    seen.acked_bytes[flow] = acks.acked_bytes;
  }
}

std::optional<RankVerdict> RankWatch::Judge(int rank, const RankView& now) const {
  using Fault = RankVerdict::Fault;
  const Seen& seen = seen_[static_cast<size_t>(rank)];
  if (rank != self_ && now.beats != 0 && !now.left) {
    if (now.dead) return RankVerdict{Fault::kDead, rank, seen.silent_us};
    if (seen.silent_us >= limits_.silence_us) return RankVerdict{Fault::kSilent, rank, seen.silent_us};
    const auto longest = std::max_element(seen.cut_us.begin(), seen.cut_us.end());
    if (*longest >= limits_.cut_us) {
      return RankVerdict{Fault::kCut, rank, *longest, static_cast<Flow>(longest - seen.cut_us.begin())};
    }
  }
  if (now.step != 0 && seen.in_step_us > now.step_limit_us) {
    return RankVerdict{Fault::kOverdue, rank, seen.in_step_us};
  }
  return std::nullopt;
}

}  // namespace quire::worker
