#include "worker/parallel/rank_watch.h"

#include <algorithm>

namespace quire::worker {

std::optional<RankVerdict> RankWatch::Look(int64_t now_us, std::span<const RankView> ranks) {
  const int64_t gap_us = std::max<int64_t>(0, now_us - last_us_.value_or(now_us));
  last_us_ = now_us;
  const int64_t awake_us = std::min(gap_us, 2 * limits_.beat_us);
  for (size_t r = 0; r < seen_.size(); ++r) Note(ranks[r], awake_us, seen_[r]);
  for (size_t r = 0; r < seen_.size(); ++r) {
    if (auto verdict = JudgeLife(static_cast<int>(r), ranks[r])) return verdict;
  }
  for (size_t r = 0; r < seen_.size(); ++r) {
    if (auto verdict = JudgeStep(static_cast<int>(r), ranks)) return verdict;
  }
  return std::nullopt;
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

bool RankWatch::IsWatched(int rank, const RankView& now) const {
  return rank != self_ && now.beats != 0 && !now.left;
}

std::optional<RankVerdict> RankWatch::JudgeLife(int rank, const RankView& now) const {
  using Fault = RankVerdict::Fault;
  if (!IsWatched(rank, now)) return std::nullopt;
  const Seen& seen = seen_[static_cast<size_t>(rank)];
  if (now.dead) return RankVerdict{Fault::kDead, rank, seen.silent_us};
  if (seen.silent_us >= limits_.silence_us) return RankVerdict{Fault::kSilent, rank, seen.silent_us};
  const auto longest = std::max_element(seen.cut_us.begin(), seen.cut_us.end());
  if (*longest < limits_.cut_us) return std::nullopt;
  return RankVerdict{Fault::kCut, rank, *longest, static_cast<Flow>(longest - seen.cut_us.begin())};
}

std::optional<RankVerdict> RankWatch::JudgeStep(int rank, std::span<const RankView> ranks) const {
  using Fault = RankVerdict::Fault;
  const RankView& now = ranks[static_cast<size_t>(rank)];
  const int64_t in_step_us = seen_[static_cast<size_t>(rank)].in_step_us;
  if (now.step == 0 || in_step_us <= now.step_limit_us) return std::nullopt;
  const int64_t long_us = std::max(in_step_us, limits_.silence_us) / 2;
  for (size_t r = 0; r < seen_.size(); ++r) {
    const bool silent = IsWatched(static_cast<int>(r), ranks[r]) && seen_[r].silent_us > long_us;
    if (silent) return RankVerdict{Fault::kSilent, static_cast<int>(r), seen_[r].silent_us};
  }
  return RankVerdict{Fault::kOverdue, rank, in_step_us};
}

}  // namespace quire::worker
