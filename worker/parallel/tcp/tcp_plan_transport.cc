#include "worker/parallel/tcp/tcp_plan_transport.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {

absl::Status TcpPlanTransport::Move() {
  const absl::Status moved = group_.Move(pieces_, spin_us_);
  pieces_.clear();
  return moved;
}

absl::Status TcpPlanTransport::AwaitTaken() {
  if (!sent_) return absl::OkStatus();
  for (int r = 1; r < group_.size(); ++r) {
    pieces_.push_back({&link(r), {}, {&taken_[static_cast<size_t>(r)], 1}});
  }
  QUIRE_RETURN_IF_ERROR(Move());
  sent_ = false;
  return absl::OkStatus();
}

absl::Status TcpPlanTransport::Send(size_t bytes) {
  const uint64_t length = bytes;
  std::memcpy(frame_.data(), &length, sizeof(length));
  for (int r = 1; r < group_.size(); ++r) {
    pieces_.push_back({&link(r), {frame_.data(), sizeof(length) + bytes}, {}});
  }
  sent_ = true;
  return Move();
}

absl::StatusOr<std::span<const uint8_t>> TcpPlanTransport::Receive() {
  uint64_t length = 0;
  pieces_.push_back({&link(0), {}, {reinterpret_cast<uint8_t*>(&length), sizeof(length)}});
  QUIRE_RETURN_IF_ERROR(Move());
  if (length > buffer().size()) {
    return absl::InternalError(
        absl::StrCat("rank 0 sends a plan of ", length, " bytes; this rank has room for ", buffer().size()));
  }
  pieces_.push_back({&link(0), {}, buffer().first(length)});
  QUIRE_RETURN_IF_ERROR(Move());
  return buffer().first(length);
}

absl::Status TcpPlanTransport::Take() {
  const uint8_t taken = 1;
  pieces_.push_back({&link(0), {&taken, 1}, {}});
  return Move();
}

}  // namespace quire::worker
