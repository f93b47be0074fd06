#include "worker/parallel/shm_group.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "worker/parallel/shm_liveness.h"
#include "worker/parallel/shm_plan_transport.h"
#include "worker/parallel/shm_rendezvous.h"

namespace quire::worker {
namespace {

absl::Status AwaitAll(ShmLiveness& liveness, int64_t timeout_ms) {
  liveness.BeginTimed(0, timeout_ms * 1000);
  liveness.Enter(Phase::kAgreeing);
  liveness.slot(liveness.rank()).joined.Advance();
  for (int r = 0; r < liveness.size(); ++r) {
    QUIRE_RETURN_IF_ERROR(liveness.Await(liveness.slot(r).joined, 1));
  }
  liveness.EndTimed();
  liveness.AllAreHere();
  return absl::OkStatus();
}

absl::Status Agree(const ShmGroupOptions& options, ShmLiveness& liveness, kernels::Rendezvous& rendezvous) {
  QUIRE_RETURN_IF_ERROR(AgreeOn(options.agreement, options.buffers, rendezvous, options.join_timeout_ms));
  QUIRE_RETURN_IF_ERROR(liveness.memory().MapBuffers(options.buffers, options.size));
  return rendezvous.AllGather("").status();  // no rank goes on before all have their memory
}

}  // namespace

absl::StatusOr<RankGroup> JoinShmGroup(const ShmGroupOptions& options, LivenessCallbacks callbacks) {
  QUIRE_RETURN_IF_ERROR(CheckPlace(options.rank, options.size));
  QUIRE_ASSIGN_OR_RETURN(auto memory, GroupMemory::Open(options.shm));
  auto liveness = std::make_unique<ShmLiveness>(
      ShmLivenessOptions{options.rank, options.size, options.spin_us, options.stale_ms}, std::move(callbacks),
      std::move(memory));
  QUIRE_RETURN_IF_ERROR(liveness->Begin());
  RankGroup group;
  group.rendezvous = std::make_unique<ShmRendezvous>(*liveness);
  group.plans = std::make_unique<ShmPlanTransport>(*liveness);
  absl::Status joined = AwaitAll(*liveness, options.join_timeout_ms);
  if (joined.ok()) joined = Agree(options, *liveness, *group.rendezvous);
  if (!joined.ok()) {
    liveness->memory().Unlink();  // whichever rank it is: the others may have ended before it came
    liveness->MarkLost(absl::StrCat("rank ", options.rank, " could not join: ", MessageOf(joined)));
    return joined;
  }
  group.liveness = std::move(liveness);
  return group;
}

}  // namespace quire::worker
