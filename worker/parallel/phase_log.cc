#include "worker/parallel/phase_log.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace quire::worker {

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kAbsent:
      return "not joined yet";
    case Phase::kStarting:
      return "starting";
    case Phase::kLoading:
      return "loading";
    case Phase::kComputing:
      return "computing";
    case Phase::kAgreeing:
      return "waiting for all ranks to agree";
    case Phase::kExchanging:
      return "waiting for an exchange";
    case Phase::kSendingPlan:
      return "waiting to send a plan";
    case Phase::kAwaitingPlan:
      return "waiting for a plan";
    case Phase::kIdle:
      return "idle";
  }
  return "in an unknown phase";
}

bool IsWaiting(Phase phase) { return phase >= Phase::kAgreeing; }

Phase PhaseLog::current() const {
  const uint32_t entered = entered_.load(std::memory_order_acquire);
  if (entered == 0) return Phase::kAbsent;
  return static_cast<Phase>(entries_[(entered - 1) % kKept].load(std::memory_order_relaxed) >> 56);
}

std::string PhaseLog::Describe() const {
  const uint32_t entered = entered_.load(std::memory_order_acquire);
  std::string text(entered == 0 ? PhaseName(Phase::kAbsent) : "");
  for (uint32_t i = 0; i < std::min(entered, kKept); ++i) {
    const uint64_t entry = entries_[(entered - 1 - i) % kKept].load(std::memory_order_relaxed);
    absl::StrAppend(&text,
                    i == 0   ? ""
                    : i == 1 ? "; before: "
                             : ", ",
                    PhaseName(static_cast<Phase>(entry >> 56)), " (step ", entry >> 24 & 0xffff'ffff,
                    ", exchange ", entry & 0xff'ffff, ")");
  }
  return text;
}

}  // namespace quire::worker
