// Liveness of ranks on several hosts: a link between every two ranks carries nothing but beats, eight a
// second, each with all that a rank shows of itself. A peer whose process ends closes its link; one that is
// stopped beats no more; one whose host can't be reached doesn't even acknowledge what the kernel sent it on
// one of its links, which tells a cut (1.5 s after it matters) from a busy machine (10 s). What the other TCP
// parts wait on is polled together with lost_fd. Owned by a RankGroup, as all its links are by this; a thread
// of its own beats, hears and watches, and alone moves bytes on the links of beats.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/core/fd.h"
#include "base/core/mutex.h"
#include "worker/parallel/liveness.h"
#include "worker/parallel/tcp/beat.h"
#include "worker/parallel/tcp/meeting.h"
#include "worker/parallel/tcp/transfer.h"

namespace quire::worker {

inline constexpr int64_t kTcpBeatUs = 125'000;

class TcpLiveness final : public Liveness {
 public:
  static RankWatchLimits WatchLimits(int64_t stale_ms);

  TcpLiveness(int rank, int64_t stale_ms, MeetingLinks links, LivenessCallbacks callbacks);
  ~TcpLiveness() override;
  // ResourceExhausted: no descriptors for it. Nothing else is called before it, or where it fails.
  absl::Status Begin();

  // By the peers' ranks, of whom of a follower's stars only rank 0 has one; the engine thread's.
  std::span<Link> star() { return links_.star; }
  std::span<Link> plans() { return links_.plans; }
  std::span<Link> exchange() { return links_.exchange; }

  // Moves the pieces, with no limit but the group's end: Unavailable then, and when a connection ends, which
  // is its end, too.
  absl::Status Move(std::span<Piece> pieces, int64_t spin_us = 0);
  // The same for messages.
  absl::Status Send(Link& link, const std::string& message);
  absl::StatusOr<std::string> Read(Link& link, size_t most);

  bool Healthy() const override { return !lost() && !somebody_left_; }
  absl::Status LostError() const override;
  void AskToDrain() override;
  void Leave() override;

 private:
  struct Peer {
    Link link;
    bool dead = false;
    std::string in, out;  // not whole yet; not sent yet
    Beat last;
  };

  void Spread(const std::string& why) override;
  WaitLimit Limit(int64_t spin_us) const { return {.lost_fd = lost_fd_.get(), .spin_us = spin_us}; }
  // What a failed transfer means: the group is lost. OK stays OK.
  absl::Status Judge(const absl::Status& moved);
  // Returns once every peer was sent this rank's state as it is now, or its link takes nothing.
  void Tell();
  void Run();
  bool stopping() ABSL_LOCKS_EXCLUDED(mutex_);
  bool has_news() ABSL_LOCKS_EXCLUDED(mutex_);
  void Sleep(int64_t until_us);
  // This rank's state, to all peers.
  void Say();
  void Flush(Peer& peer);
  void Hear(int rank);
  void Take(const Beat& beat);
  void Look();  // what a beat is for, beside the beat
  Beat Mine() ABSL_LOCKS_EXCLUDED(mutex_);
  std::array<AckState, kFlows> AcksOf(int rank) const;
  std::vector<RankState> States();
  bool IsSure(const RankVerdict& verdict);

  TimedMark timed_;
  PhaseLog phases_;
  MeetingLinks links_;          // but for the beats': those are the peers'
  const Fd lost_fd_, wake_fd_;  // eventfds
  std::atomic<bool> somebody_left_{false};
  std::atomic<std::thread::id> beat_thread_id_{};
  mutable Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool left_ ABSL_GUARDED_BY(mutex_) = false, drain_asked_ ABSL_GUARDED_BY(mutex_) = false;
  std::string reason_ ABSL_GUARDED_BY(mutex_);                                       // why it is lost
  uint64_t to_tell_ ABSL_GUARDED_BY(mutex_) = 0, told_ ABSL_GUARDED_BY(mutex_) = 0;  // states of this rank
  // Of the beat thread.
  std::vector<Peer> peers_;
  uint64_t beats_ = 0;
  RankWatch watch_;
  std::vector<uint64_t> beats_when_overdue_;
  int rounds_overdue_ = 0;
  std::thread beat_thread_;
};

}  // namespace quire::worker
