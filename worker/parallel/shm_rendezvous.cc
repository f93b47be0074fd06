#include "worker/parallel/shm_rendezvous.h"

#include <algorithm>

#include "base/core/status.h"
#include "worker/parallel/shm_communicator.h"

namespace quire::worker {

absl::StatusOr<std::vector<std::string>> ShmRendezvous::Gather(const std::string& record, int64_t limit_us) {
  group_.BeginTimed(0, limit_us);
  group_.Enter(Phase::kAgreeing);
  // A round is two advances: "my record is written" and "I have read all".
  const uint32_t round = 2 * gathers_++;
  for (int r = 0; r < size(); ++r) QUIRE_RETURN_IF_ERROR(group_.Await(group_.slot(r).gathered, round));
  RankSlot& own = group_.slot(rank());
  own.record_bytes = std::ssize(record);
  std::copy(record.begin(), record.end(), own.record);
  own.gathered.Advance();
  std::vector<std::string> records;
  for (int r = 0; r < size(); ++r) {
    RankSlot& slot = group_.slot(r);
    QUIRE_RETURN_IF_ERROR(group_.Await(slot.gathered, round + 1));
    records.emplace_back(slot.record, static_cast<size_t>(slot.record_bytes));
  }
  own.gathered.Advance();
  group_.EndTimed();
  group_.Enter(Phase::kStarting);
  return records;
}

absl::StatusOr<std::unique_ptr<kernels::Communicator>> ShmRendezvous::HostCommunicator() {
  return std::make_unique<ShmCommunicator>(group_);
}

}  // namespace quire::worker
