#include "worker/parallel/tcp/tcp_liveness.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/core/status.h"
#include "worker/parallel/shared_word.h"

namespace quire::worker {
namespace {

// Of nothing acknowledged, counted from the beat after the cut: so 1.5 s at most from the cut on.
constexpr int64_t kCutUs = 1'250'000;
constexpr int kReasonLimitMs = 5000;
constexpr absl::Duration kTellLimit = absl::Seconds(1);
// A step is overdue only when its ranks' own words are from after it was: two beats, or where one of them is
// silent too, this many rounds.
constexpr int kRoundsToBeSure = 80;

Fd NewEvent() { return Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

}  // namespace

RankWatchLimits TcpLiveness::WatchLimits(int64_t stale_ms) {
  return {.beat_us = kTcpBeatUs, .silence_us = stale_ms * 1000, .cut_us = kCutUs};
}

TcpLiveness::TcpLiveness(int rank, int64_t stale_ms, MeetingLinks links, LivenessCallbacks callbacks)
    : Liveness(rank, static_cast<int>(links.beats.size()), std::move(callbacks), timed_, phases_),
      links_(std::move(links)),
      lost_fd_(NewEvent()),
      wake_fd_(NewEvent()),
      peers_(links_.beats.size()),
      watch_(rank, size(), WatchLimits(stale_ms)) {
  for (size_t r = 0; r < peers_.size(); ++r) peers_[r].link = std::move(links_.beats[r]);
}

TcpLiveness::~TcpLiveness() {
  if (!beat_thread_.joinable()) return;
  {
    MutexLock lock(&mutex_);
    stop_ = true;
  }
  eventfd_write(wake_fd_.get(), 1);
  beat_thread_.join();
}

absl::Status TcpLiveness::Begin() {
  if (!lost_fd_.valid() || !wake_fd_.valid()) return NoDescriptor("can't watch the group");
  Enter(Phase::kStarting);
  beat_thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

absl::Status TcpLiveness::Judge(const absl::Status& moved) {
  if (moved.ok()) return moved;
  if (!absl::IsCancelled(moved)) {
    // Who ends its connections has most often said why on its link here, or its process is dead and the beat
    // thread sees that.
    pollfd lost{lost_fd_.get(), POLLIN, 0};
    poll(&lost, 1, kReasonLimitMs);
    Lose(MessageOf(moved));
  }
  return LostError();
}

absl::Status TcpLiveness::Move(std::span<Piece> pieces, int64_t spin_us) {
  return lost() ? LostError() : Judge(Transfer(pieces, Limit(spin_us)));
}

absl::Status TcpLiveness::Send(Link& link, const std::string& message) {
  return lost() ? LostError() : Judge(SendMessage(link, message, Limit(0)));
}

absl::StatusOr<std::string> TcpLiveness::Read(Link& link, size_t most) {
  absl::StatusOr<std::string> message = ReadMessage(link, most, Limit(0));
  QUIRE_RETURN_IF_ERROR(Judge(message.status()));
  return message;
}

absl::Status TcpLiveness::LostError() const {
  MutexLock lock(&mutex_);
  return absl::UnavailableError(reason_.empty() ? "a rank ended the group" : reason_);
}

void TcpLiveness::AskToDrain() {
  {
    MutexLock lock(&mutex_);
    drain_asked_ = true;
  }
  Tell();
}

void TcpLiveness::Leave() {
  {
    MutexLock lock(&mutex_);
    left_ = true;
  }
  somebody_left_ = true;
  Tell();
}

void TcpLiveness::Spread(const std::string& why) {
  {
    MutexLock lock(&mutex_);
    reason_ = why.empty() ? "a rank ended the group" : why;
  }
  eventfd_write(lost_fd_.get(), 1);
  Tell();
}

void TcpLiveness::Tell() {
  if (std::this_thread::get_id() == beat_thread_id_.load()) return Say();
  MutexLock lock(&mutex_);
  const uint64_t mine = ++to_tell_;
  eventfd_write(wake_fd_.get(), 1);
  auto told = [this, mine]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return told_ >= mine || stop_; };
  mutex_.AwaitWithTimeout(absl::Condition(&told), kTellLimit);
}

bool TcpLiveness::stopping() {
  MutexLock lock(&mutex_);
  return stop_;
}

bool TcpLiveness::has_news() {
  MutexLock lock(&mutex_);
  return told_ < to_tell_;
}

void TcpLiveness::Run() {
  beat_thread_id_ = std::this_thread::get_id();
  int64_t next_beat_us = MonotonicUs();
  while (!stopping()) {
    for (int r = 0; r < size(); ++r) Hear(r);
    if (const int64_t now_us = MonotonicUs(); now_us >= next_beat_us) {
      next_beat_us = now_us + kTcpBeatUs;
      ++beats_;
      Say();
      if (!lost()) Look();
    } else if (has_news()) {
      Say();
    }
    Sleep(next_beat_us);
  }
  Say();  // that this rank left, if it did
}

void TcpLiveness::Sleep(int64_t until_us) {
  std::vector<pollfd> polled{{wake_fd_.get(), POLLIN, 0}};
  for (const Peer& peer : peers_) {
    if (!peer.link.open()) continue;
    const int events = peer.link.read_wants() | (peer.out.empty() ? 0 : peer.link.write_wants());
    polled.push_back({peer.link.fd(), static_cast<short>(events), 0});
  }
  const int64_t left_us = std::max<int64_t>(0, until_us - MonotonicUs());
  poll(polled.data(), polled.size(), static_cast<int>((left_us + 999) / 1000));
  eventfd_t woken = 0;
  eventfd_read(wake_fd_.get(), &woken);
  for (Peer& peer : peers_) Flush(peer);
}

Beat TcpLiveness::Mine() {
  const TimedMark::Seen timed = timed_.Read();
  Beat mine;
  mine.beats = beats_;
  mine.step = timed.step;
  mine.step_limit_us = timed.limit_us;
  mine.waiting = IsWaiting(phases_.current());
  mine.doing = phases_.Describe();
  MutexLock lock(&mutex_);
  mine.left = left_;
  mine.drain_asked = drain_asked_;
  mine.lost = !reason_.empty();
  mine.reason = reason_;
  return mine;
}

void TcpLiveness::Say() {
  uint64_t telling = 0;
  {
    MutexLock lock(&mutex_);
    telling = to_tell_;
  }
  const std::string message = Framed(EncodeBeat(Mine()));
  for (Peer& peer : peers_) {
    if (!peer.link.open()) continue;
    // Who takes nothing hears the newest later: every beat says all.
    if (peer.out.size() < kMostBeatBytes) peer.out += message;
    Flush(peer);
  }
  MutexLock lock(&mutex_);
  told_ = std::max(told_, telling);
}

void TcpLiveness::Flush(Peer& peer) {
  while (peer.link.open() && !peer.out.empty()) {
    const auto written =
        peer.link.Write({reinterpret_cast<const uint8_t*>(peer.out.data()), peer.out.size()});
    if (!written.ok()) peer.out.clear();  // what came from it before its end is still to be heard
    if (!written.ok() || *written == 0) return;
    peer.out.erase(0, *written);
  }
}

void TcpLiveness::Hear(int rank) {
  Peer& peer = peers_[static_cast<size_t>(rank)];
  while (peer.link.open()) {
    uint8_t bytes[4096];
    const auto read = peer.link.Read({bytes, sizeof(bytes)});
    if (read.ok() && *read == 0) break;
    if (read.ok()) peer.in.append(reinterpret_cast<const char*>(bytes), *read);
    while (read.ok()) {
      uint32_t length = 0;
      if (peer.in.size() < sizeof(length)) break;
      std::memcpy(&length, peer.in.data(), sizeof(length));
      if (length <= kMostBeatBytes && peer.in.size() < sizeof(length) + length) break;
      const auto beat = length <= kMostBeatBytes ? DecodeBeat(peer.in.substr(sizeof(length), length))
                                                 : std::optional<Beat>();
      if (!beat) {
        peer.dead = true;
        return peer.link.Close();
      }
      peer.in.erase(0, sizeof(length) + length);
      peer.last = *beat;
      Take(*beat);
    }
    if (read.ok()) continue;
    peer.dead = true;
    peer.link.Close();
  }
}

void TcpLiveness::Take(const Beat& beat) {
  if (beat.left) somebody_left_ = true;
  if (beat.lost) Lose(beat.reason);
}

void TcpLiveness::Look() {
  bool drain_asked = Mine().drain_asked;
  for (const Peer& peer : peers_) drain_asked = drain_asked || peer.last.drain_asked;
  if (drain_asked) HearDrainAsked();
  const std::vector<RankState> states = States();
  std::vector<RankView> views(states.size());
  std::transform(states.begin(), states.end(), views.begin(), [](const RankState& s) { return s.view; });
  const std::optional<RankVerdict> verdict = watch_.Look(MonotonicUs(), views);
  if (!verdict || verdict->fault != RankVerdict::Fault::kOverdue) rounds_overdue_ = 0;
  if (verdict && IsSure(*verdict)) Lose(DescribeFault(*verdict, states));
}

bool TcpLiveness::IsSure(const RankVerdict& verdict) {
  if (verdict.fault != RankVerdict::Fault::kOverdue || size() == 1) return true;
  if (rounds_overdue_++ == 0) {
    beats_when_overdue_.clear();
    for (const Peer& peer : peers_) beats_when_overdue_.push_back(peer.last.beats);
  }
  if (rounds_overdue_ > kRoundsToBeSure) return true;
  for (int r = 0; r < size(); ++r) {
    const Peer& peer = peers_[static_cast<size_t>(r)];
    if (r != rank() && !peer.last.left && peer.last.beats < beats_when_overdue_[static_cast<size_t>(r)] + 2) {
      return false;
    }
  }
  return true;
}

std::array<AckState, kFlows> TcpLiveness::AcksOf(int rank) const {
  const auto of = [r = static_cast<size_t>(rank)](const std::vector<Link>& links) {
    return r < links.size() && links[r].open() ? links[r].acks() : AckState{};
  };
  const Link& beats = peers_[static_cast<size_t>(rank)].link;
  std::array<AckState, kFlows> acks;
  acks[kBeatFlow] = beats.open() ? beats.acks() : AckState{};
  acks[kExchangeFlow] = of(links_.exchange);
  acks[kPlanFlow] = of(links_.plans);
  acks[kRecordFlow] = of(links_.star);
  return acks;
}

std::vector<RankState> TcpLiveness::States() {
  std::vector<RankState> states(peers_.size());
  for (int r = 0; r < size(); ++r) {
    const Peer& peer = peers_[static_cast<size_t>(r)];
    const Beat beat = r == rank() ? Mine() : peer.last;
    RankState& state = states[static_cast<size_t>(r)];
    state.view.beats = beat.beats + 1;  // all have joined: one that never beats is missed, too
    state.view.left = beat.left;
    state.view.dead = peer.dead;
    state.view.acks = AcksOf(r);
    state.view.step = beat.step;
    state.view.step_limit_us = beat.step_limit_us;
    state.waiting = beat.waiting;
    state.doing = beat.doing;
  }
  return states;
}

}  // namespace quire::worker
