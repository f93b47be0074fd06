// Bytes between a rank and its peers, all links at once and both directions at once: no order of calls can
// make two ranks wait for each other. What a rank's parts over TCP are made of. Plain functions of the thread
// that has the links.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/parallel/tcp/link.h"

namespace quire::worker {

// What ends a wait, beside the bytes themselves.
struct WaitLimit {
  int lost_fd = -1;     // readable once the group is lost; -1: there is none yet
  int64_t spin_us = 0;  // before a wait sleeps
  int64_t until_us = std::numeric_limits<int64_t>::max();  // of MonotonicUs
};

// What is left to move over a link; each direction may be empty.
struct Piece {
  Link* link = nullptr;
  OutBytes out;
  InBytes in;
};

// Until all is moved. Cancelled: the group is lost; DeadlineExceeded: it took too long; Unavailable: a
// connection ended; the last two say whose.
absl::Status Transfer(std::span<Piece> pieces, const WaitLimit& limit);

// Messages of at most `most` bytes, each after its length.
absl::Status SendMessage(Link& link, const std::string& message, const WaitLimit& limit);
absl::StatusOr<std::string> ReadMessage(Link& link, size_t most, const WaitLimit& limit);
// The bytes of a message with its length before it.
std::string Framed(const std::string& message);

// Until the TLS handshake is done.
absl::Status FinishHandshake(Link& link, const WaitLimit& limit);

}  // namespace quire::worker
