#include "worker/parallel/tcp/tcp_plan_transport.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {

absl::Status TcpPlanTransport::AwaitTaken() {
  if (!sent_) return absl::OkStatus();
  std::vector<uint8_t> taken(star_.size());
  std::vector<Piece> pieces;
  for (size_t r = 1; r < star_.size(); ++r) pieces.push_back({&star_[r], {}, {&taken[r], 1}});
  QUIRE_RETURN_IF_ERROR(Move(pieces));
  sent_ = false;
  return absl::OkStatus();
}

absl::Status TcpPlanTransport::Send(size_t bytes) {
  const uint64_t length = bytes;
  std::memcpy(frame_.data(), &length, sizeof(length));
  std::vector<Piece> pieces;
  for (size_t r = 1; r < star_.size(); ++r) {
    pieces.push_back({&star_[r], std::span(frame_).first(sizeof(length) + bytes), {}});
  }
  sent_ = true;
  return Move(pieces);
}

absl::StatusOr<std::span<const uint8_t>> TcpPlanTransport::Receive() {
  uint64_t length = 0;
  Piece head{&star_[0], {}, {reinterpret_cast<uint8_t*>(&length), sizeof(length)}};
  QUIRE_RETURN_IF_ERROR(Move({&head, 1}));
  if (length > buffer().size()) {
    return absl::InternalError(
        absl::StrCat("rank 0 sends a plan of ", length, " bytes; this rank has room for ", buffer().size()));
  }
  Piece body{&star_[0], {}, buffer().first(length)};
  QUIRE_RETURN_IF_ERROR(Move({&body, 1}));
  return buffer().first(length);
}

absl::Status TcpPlanTransport::Take() {
  const uint8_t taken = 1;
  Piece piece{&star_[0], {&taken, 1}, {}};
  return Move({&piece, 1});
}

}  // namespace quire::worker
