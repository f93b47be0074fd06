#include "worker/parallel/rank_watch.h"

#include <algorithm>

namespace quire::worker {

std::optional<RankVerdict> RankWatch::Look(int64_t now_us, std::span<const RankView> ranks) {
  const int64_t gap_us = std::max<int64_t>(0, now_us - last_us_.value_or(now_us));
  last_us_ = now_us;
  const int64_t awake_us = std::min(gap_us, 2 * limits_.beat_us);
  std::optional<RankVerdict> verdict;
  for (size_t r = 0; r < seen_.size(); ++r) {
    const RankView& now = ranks[r];
    Seen& seen = seen_[r];
    seen.silent_us = now.beats != seen.beats ? 0 : seen.silent_us + awake_us;
    seen.in_step_us = now.step == 0 || now.step != seen.step ? 0 : seen.in_step_us + awake_us;
    seen.cut_us = !now.unacked || now.acked_bytes != seen.acked_bytes ? 0 : seen.cut_us + awake_us;
    seen.beats = now.beats;
    seen.acked_bytes = now.acked_bytes;
    seen.step = now.step;
    if (verdict) continue;
    const int rank = static_cast<int>(r);
    const bool watched = rank != self_ && now.beats != 0 && !now.left;
    if (watched && now.dead) {
      verdict = {RankVerdict::Fault::kDead, rank, seen.silent_us};
    } else if (watched && seen.silent_us >= limits_.silence_us) {
      verdict = {RankVerdict::Fault::kSilent, rank, seen.silent_us};
    } else if (watched && seen.cut_us >= limits_.cut_us) {
      verdict = {RankVerdict::Fault::kCut, rank, seen.cut_us};
    } else if (now.step != 0 && seen.in_step_us > now.step_limit_us) {
      verdict = {RankVerdict::Fault::kOverdue, rank, seen.in_step_us};
    }
  }
  return verdict;
}

}  // namespace quire::worker
