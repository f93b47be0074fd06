// Plans over TCP: rank 0 sends each follower the plan's bytes after their number, and each follower one byte
// back for a plan taken. What it needs it has from its beginning.
#pragma once

#include <vector>

#include "worker/parallel/plan_transport.h"
#include "worker/parallel/tcp/tcp_liveness.h"

namespace quire::worker {

class TcpPlanTransport final : public PlanTransport {
 public:
  // `group` outlives this; it has the links.
  TcpPlanTransport(TcpLiveness& group, int64_t plan_bytes, int64_t spin_us)
      : group_(group),
        spin_us_(spin_us),
        frame_(sizeof(uint64_t) + static_cast<size_t>(plan_bytes)),
        taken_(static_cast<size_t>(group.size())) {
    pieces_.reserve(taken_.size());
  }
  absl::Status AwaitTaken() override;
  std::span<uint8_t> buffer() override { return std::span(frame_).subspan(sizeof(uint64_t)); }
  absl::Status Send(size_t bytes) override;
  absl::StatusOr<std::span<const uint8_t>> Receive() override;
  absl::Status Take() override;

 private:
  Link& link(int rank) { return group_.plans()[static_cast<size_t>(rank)]; }
  // All of pieces_; then none is left there.
  absl::Status Move();

  TcpLiveness& group_;
  const int64_t spin_us_;
  std::vector<uint8_t> frame_;  // the length, then a plan
  std::vector<uint8_t> taken_;  // what each follower answered
  std::vector<Piece> pieces_;
  bool sent_ = false;  // and not known to be taken
};

}  // namespace quire::worker
