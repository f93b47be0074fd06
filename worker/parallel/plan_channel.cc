#include "worker/parallel/plan_channel.h"

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

constexpr int64_t kStopLimitUs = 30'000'000;

}  // namespace

absl::Status PlanChannel::WaitForRoom() {
  liveness_.Enter(Phase::kSendingPlan);
  return plans_.AwaitTaken();
}

absl::Status PlanChannel::Send(const BatchPlan& plan, std::optional<std::span<const TokenId>> resolved) {
  if (liveness_.size() == 1) return absl::OkStatus();
  QUIRE_RETURN_IF_ERROR(WaitForRoom());
  const size_t bytes = EncodePlan(plan, resolved, plans_.buffer());
  if (bytes > plans_.buffer().size()) {
    return absl::InvalidArgumentError(absl::StrCat("plan ", plan.step, " is larger than the plan buffer of ",
                                                   plans_.buffer().size(), " bytes"));
  }
  return plans_.Send(bytes);
}

absl::Status PlanChannel::SendCollect() {
  if (liveness_.size() == 1) return absl::OkStatus();
  QUIRE_RETURN_IF_ERROR(WaitForRoom());
  return plans_.Send(EncodeOrder(FollowerOrder::kCollect, plans_.buffer()));
}

absl::Status PlanChannel::SendStop() {
  if (liveness_.size() == 1) return absl::OkStatus();
  liveness_.BeginTimed(0, kStopLimitUs);
  QUIRE_RETURN_IF_ERROR(WaitForRoom());
  QUIRE_RETURN_IF_ERROR(plans_.Send(EncodeOrder(FollowerOrder::kStop, plans_.buffer())));
  QUIRE_RETURN_IF_ERROR(WaitForRoom());
  liveness_.EndTimed();
  return absl::OkStatus();
}

absl::StatusOr<DecodedOrder> PlanChannel::Receive() {
  liveness_.Enter(Phase::kAwaitingPlan);
  QUIRE_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, plans_.Receive());
  QUIRE_ASSIGN_OR_RETURN(DecodedOrder decoded, DecodeOrder(bytes));
  // Before rank 0 knows that all have read, and ends.
  if (decoded.order == FollowerOrder::kStop) liveness_.Leave();
  QUIRE_RETURN_IF_ERROR(plans_.Take());
  return decoded;
}

}  // namespace quire::worker
