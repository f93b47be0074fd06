// How the ranks of a group on several hosts find each other. All know one address, rank 0's; each dials it
// and says who it is and where it listens itself; when all are there rank 0 tells every rank where the others
// are, and a word to know each other by. Then the higher dials the lower of every two ranks, once for each
// kind of link, and when each has said that it has all its links, rank 0 ends the meeting: before that nobody
// is watched. Whatever goes wrong with one ends the meeting for all, with one reason. Used by the thread that
// starts the rank.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/parallel/tcp/door.h"

namespace quire::worker {

inline constexpr int kRendezvousPort = 29500;  // where none is given

struct MeetingOptions {
  int rank = 0, size = 1;
  std::string rendezvous;  // HOST:PORT of rank 0
  LinkTlsFiles tls;
  bool insecure = false;  // in the clear to other hosts, too
  std::string secret;     // what all ranks know; needed where there is no TLS
  int64_t timeout_ms = 120'000;
  int64_t reach_ms = 20'000;  // for a connection to another rank, which listens by then
};

// By the peers' ranks; this rank's own place is empty, and so are, of a follower's stars, all but rank 0's.
struct MeetingLinks {
  std::vector<Link> star, plans;      // rank 0 and each follower
  std::vector<Link> beats, exchange;  // every two ranks
};

// InvalidArgument: the ranks don't belong together; FailedPrecondition: not safe, or not possible here;
// Unavailable: not all came; ResourceExhausted: this process may open too few connections.
absl::StatusOr<MeetingLinks> Meet(const MeetingOptions& options);

}  // namespace quire::worker
