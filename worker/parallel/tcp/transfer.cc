#include "worker/parallel/tcp/transfer.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "worker/parallel/liveness.h"
#include "worker/parallel/shared_word.h"

namespace quire::worker {
namespace {

using Polled = std::array<pollfd, kMaxRanks + 1>;

// Sleeps until something can happen. `count` of `polled` are set, the first is the lost_fd's place.
absl::Status Sleep(Polled& polled, size_t count, const WaitLimit& limit, absl::string_view peer) {
  polled[0] = {limit.lost_fd, POLLIN, 0};  // poll ignores -1
  int timeout_ms = -1;
  if (limit.until_us != std::numeric_limits<int64_t>::max()) {
    const int64_t left_us = limit.until_us - MonotonicUs();
    if (left_us <= 0) {
      return absl::DeadlineExceededError(absl::StrCat("nothing came from ", std::string(peer), " in time"));
    }
    timeout_ms = static_cast<int>(std::min<int64_t>(left_us / 1000 + 1, 60'000));
  }
  poll(polled.data(), count, timeout_ms);
  if (polled[0].revents != 0) return absl::CancelledError("the group is lost");
  return absl::OkStatus();
}

absl::Status SleepForPieces(std::span<const Piece> pieces, const WaitLimit& limit) {
  Polled polled{};
  size_t count = 1;
  absl::string_view peer;
  for (const Piece& piece : pieces) {
    if (piece.out.empty() && piece.in.empty()) continue;
    int events = piece.out.empty() ? 0 : piece.link->write_wants();
    if (!piece.in.empty()) events |= piece.link->read_wants();
    polled[count++] = {piece.link->fd(), static_cast<short>(events), 0};
    peer = piece.link->peer();
  }
  return Sleep(polled, count, limit, peer);
}

// Moves what goes now; whether anything did. `open`: something is left.
absl::StatusOr<bool> MoveSome(std::span<Piece> pieces, bool& open) {
  bool moved = false;
  open = false;
  for (Piece& piece : pieces) {
    if (!piece.out.empty()) {
      QUIRE_ASSIGN_OR_RETURN(const size_t count, piece.link->Write(piece.out));
      piece.out.Skip(count);
      moved = moved || count > 0;
    }
    if (!piece.in.empty()) {
      QUIRE_ASSIGN_OR_RETURN(const size_t count, piece.link->Read(piece.in));
      piece.in.Skip(count);
      moved = moved || count > 0;
    }
    open = open || !piece.out.empty() || !piece.in.empty();
  }
  return moved;
}

}  // namespace

absl::Status Transfer(std::span<Piece> pieces, const WaitLimit& limit) {
  int64_t spin_end_us = limit.spin_us > 0 ? MonotonicUs() + limit.spin_us : 0;
  while (true) {
    bool open = false;
    QUIRE_ASSIGN_OR_RETURN(const bool moved, MoveSome(pieces, open));
    if (!open) return absl::OkStatus();
    if (moved) continue;
    if (limit.spin_us > 0 && MonotonicUs() < spin_end_us) continue;
    QUIRE_RETURN_IF_ERROR(SleepForPieces(pieces, limit));
  }
}

std::string Framed(const std::string& message) {
  const auto length = static_cast<uint32_t>(message.size());
  std::string framed(sizeof(length), '\0');
  std::memcpy(framed.data(), &length, sizeof(length));
  return framed += message;
}

absl::Status SendMessage(Link& link, const std::string& message, const WaitLimit& limit) {
  const std::string framed = Framed(message);
  Piece piece{&link, {reinterpret_cast<const uint8_t*>(framed.data()), framed.size()}, {}};
  return Transfer({&piece, 1}, limit);
}

absl::StatusOr<std::string> ReadMessage(Link& link, size_t most, const WaitLimit& limit) {
  uint32_t length = 0;
  Piece head{&link, {}, {reinterpret_cast<uint8_t*>(&length), sizeof(length)}};
  QUIRE_RETURN_IF_ERROR(Transfer({&head, 1}, limit));
  if (length > most) {
    return absl::UnavailableError(absl::StrCat(link.peer(), " does not speak as a rank of a group does"));
  }
  std::string message(length, '\0');
  Piece body{&link, {}, {reinterpret_cast<uint8_t*>(message.data()), message.size()}};
  QUIRE_RETURN_IF_ERROR(Transfer({&body, 1}, limit));
  return message;
}

absl::Status FinishHandshake(Link& link, const WaitLimit& limit) {
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const bool done, link.Handshake());
    if (done) return absl::OkStatus();
    Polled polled{};
    polled[1] = {link.fd(), link.read_wants(), 0};
    QUIRE_RETURN_IF_ERROR(Sleep(polled, 2, limit, link.peer()));
  }
}

}  // namespace quire::worker
