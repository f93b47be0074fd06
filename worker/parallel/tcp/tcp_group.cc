#include "worker/parallel/tcp/tcp_group.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "worker/parallel/tcp/tcp_liveness.h"
#include "worker/parallel/tcp/tcp_plan_transport.h"
#include "worker/parallel/tcp/tcp_rendezvous.h"

namespace quire::worker {

absl::StatusOr<RankGroup> JoinTcpGroup(const TcpGroupOptions& options, LivenessCallbacks callbacks) {
  QUIRE_ASSIGN_OR_RETURN(MeetingLinks links, Meet(options.meeting));
  const int rank = options.meeting.rank;
  auto liveness =
      std::make_unique<TcpLiveness>(rank, options.stale_ms, std::move(links), std::move(callbacks));
  QUIRE_RETURN_IF_ERROR(liveness->Begin());
  RankGroup group;
  group.rendezvous =
      std::make_unique<TcpRendezvous>(*liveness, options.buffers.exchange_bytes, options.spin_us);
  group.plans = std::make_unique<TcpPlanTransport>(*liveness, options.buffers.plan_bytes, options.spin_us);
  const absl::Status agreed =
      AgreeOn(options.agreement, options.buffers, *group.rendezvous, options.meeting.timeout_ms);
  if (!agreed.ok()) {
    liveness->MarkLost(absl::StrCat("rank ", rank, " could not join: ", MessageOf(agreed)));
    return agreed;
  }
  group.liveness = std::move(liveness);
  return group;
}

}  // namespace quire::worker
