// Plans over TCP: rank 0 sends each follower the plan's bytes after their number, and each follower one byte
// back for a plan taken.
#pragma once

#include <vector>

#include "worker/parallel/plan_transport.h"
#include "worker/parallel/tcp/tcp_liveness.h"

namespace quire::worker {

class TcpPlanTransport final : public PlanTransport {
 public:
  // `star` as a TcpRendezvous has it. `group` outlives this.
  TcpPlanTransport(TcpLiveness& group, std::vector<Link> star, int64_t plan_bytes, int64_t spin_us)
      : group_(group),
        star_(std::move(star)),
        spin_us_(spin_us),
        frame_(sizeof(uint64_t) + static_cast<size_t>(plan_bytes)) {}
  absl::Status AwaitTaken() override;
  std::span<uint8_t> buffer() override { return std::span(frame_).subspan(sizeof(uint64_t)); }
  absl::Status Send(size_t bytes) override;
  absl::StatusOr<std::span<const uint8_t>> Receive() override;
  absl::Status Take() override;

 private:
  absl::Status Move(std::span<Piece> pieces) { return group_.Move(pieces, spin_us_); }

  TcpLiveness& group_;
  std::vector<Link> star_;
  const int64_t spin_us_;
  std::vector<uint8_t> frame_;  // the length, then a plan
  bool sent_ = false;           // and not known to be taken
};

}  // namespace quire::worker
