// Who is heard of, and what becomes of those who are not; when what cost nothing is forgotten.
#include <algorithm>
#include <vector>

#include "coordinator/ledger/ledger.h"

namespace quire::coordinator {

// From now on the reaper counts anew. Rounded up: the last pass may be up to two counted periods old. What
// was heard stays heard when a commit fails and while nothing is loaded: a disk that is full for an hour
// makes no gateway silent.
void Ledger::Heard(const RequestId& id) { heard_us_[id] = running_us_ + 2 * options_.reap_period_us; }

void Ledger::AdvanceReaper(int64_t now_us) {
  // A pass counts at most two periods: a leader that was paused did not hear anybody meanwhile.
  if (last_pass_us_) running_us_ += std::min(now_us - *last_pass_us_, 2 * options_.reap_period_us);
  last_pass_us_ = now_us;
  if (!loaded_) return;
  forget_ = true;
  std::vector<RequestId> silent;
  for (const auto& [id, live] : requests_) {
    const bool open = live.row.state == RequestState::kOpen && !set_aside_.contains(id);
    if (open && running_us_ - heard_us_.at(id) >= options_.reap_after_us) silent.push_back(id);
  }
  for (const RequestId& id : silent) {
    const auto found = requests_.find(id);
    if (found == requests_.end() || found->second.row.state != RequestState::kOpen) continue;
    Close(found->second, v1::SETTLE_REAPED);
    ++new_counts_.reaped;
    if (!careful()) continue;
    const absl::Status status = Commit(last_ms_);
    if (absl::IsInternal(status)) SetAside(id);
    if (!loaded_) return;
  }
}

}  // namespace quire::coordinator
