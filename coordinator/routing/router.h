// Gives requests to groups: joins the registry, the reservations, the prefix memory and the waiting queue
// under one mutex, so that every pick sees the load of all picks before it. Any thread may call; `done`
// callbacks run outside the mutex, on whichever thread made the decision possible, and must not block. A
// thread of its own waits for the queue's deadlines. What always holds: each Place is answered exactly once
// (placement, refusal or `ending`) unless it is cancelled; patience, with groups and gateways, is of the time
// that this process was awake.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/core/awake_time.h"
#include "base/core/clock.h"
#include "base/core/ids.h"
#include "base/core/mutex.h"
#include "coordinator/fleet/worker_registry.h"
#include "coordinator/routing/placement.h"
#include "coordinator/routing/prefix_memory.h"
#include "coordinator/routing/reservation_book.h"
#include "coordinator/routing/token_conservation.h"
#include "coordinator/routing/wait_queue.h"

namespace quire::coordinator {

struct RouteRequest {
  RequestId id;
  std::string account, model;
  uint64_t prompt_tokens = 0;  // and those generated before, if it was running
  uint64_t positions = 0;      // to reserve beyond them
  uint64_t most_tokens = 0;    // what it may grow to, over all choices
  std::vector<std::string> prefix_hashes;
  int64_t max_wait_us = 0;
  bool running = false;       // a Readmit: waits ahead of the new ones
  GroupEpoch failed;          // avoided while others are there to be found; id empty = none
  std::string numerics_id;    // preferred; empty = any
  std::string bundle_digest;  // of the text bundle that its token ids are of, a must; empty = any
};

struct Route {
  std::optional<v1::Placement> placement;
  v1::Refusal refusal;  // if there is no placement
  bool ending = false;  // no refusal: this coordinator ends, and its successor may have a place
};

// What a settled request had from its groups.
struct Served {
  uint64_t cached_tokens = 0;
  std::vector<std::pair<GroupEpoch, uint64_t>> made_by;  // delivered positions, by who made them
};

GroupEpoch EpochOf(const Group& group);
uint64_t CapacityOf(const Group& group);  // KV blocks
// Its text bundle is the one that the request's token ids are of.
bool Understands(const Group& group, const RouteRequest& request);
Route RefusedRoute(v1::RefusalReason reason, const std::string& message, uint32_t retry_after_s = 0);

struct GroupReport {
  Group group;
  GroupState state = GroupState::kGone;
  GroupUse reserved;
  uint64_t capacity_blocks = 0;
  int64_t heard_ms_ago = 0;
};

struct RouterReport {
  std::vector<GroupReport> groups;
  size_t open_requests = 0, waiting = 0;
  int64_t oldest_wait_us = 0;
  uint64_t drift_alarms = 0;
  uint64_t conservation_alarms = 0;  // see TokenConservation
};

class Router {
 public:
  struct Config {
    WaitQueue::Limits queue;
    int64_t no_group_wait_us = 2'000'000;  // while no group of the model is up
    int64_t start_no_group_wait_us =
        10'000'000;  // the same just after the start: groups are registering again
    // How long a Readmit avoids the group that failed it. A dead one is known as dead by then; one that still
    // serves is better than none, since the failure may have been the connection's.
    int64_t avoid_failed_us = 2'000'000;
  };
  using Done = std::function<void(const Route&)>;

  Router(const Config& config, const Clock& clock);
  ~Router();
  // What waits and what comes is told that it is `ending`; everything else works on.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  // The ticket is for Cancel. A second Place of a waiting id replaces (and so cancels) the first; a Readmit
  // that is replaced is told to come again. One of an id that is placed on a group that still serves gets the
  // same placement again, unless it is a Readmit. A Readmit of an id that is not open, or is closed while it
  // waits, or whose Admit (sent again) waits, is refused as closed: that Admit brings a placement.
  uint64_t Place(RouteRequest request, Done done) ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel(const RequestId& id, uint64_t ticket) ABSL_LOCKS_EXCLUDED(mutex_);

  // ---- open requests ----
  // The ledger has it open, with this grant (said after each commit, and when the coordinator starts).
  void Confirm(const RequestId& id, uint64_t prompt_tokens, uint64_t granted) ABSL_LOCKS_EXCLUDED(mutex_);
  // The ledger did not open it: its place is given up, unless another Admit of the same id opened it.
  void Refused(const RequestId& id) ABSL_LOCKS_EXCLUDED(mutex_);
  // It lives; on that group, if said.
  void Heard(const RequestId& id, const GroupEpoch& group) ABSL_LOCKS_EXCLUDED(mutex_);
  // It has ended: its stream did (`served` says what it had), or the ledger closed it (null; the last word).
  // What waits for a group in its name is refused. Its tokens are charged to those who made them when the
  // ledger has closed it, and so once, however often a Settle has to be sent.
  void Release(const RequestId& id, std::optional<Served> served) ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsOpen(const RequestId& id) const ABSL_LOCKS_EXCLUDED(mutex_);

  // ---- groups: see WorkerRegistry ----
  absl::StatusOr<uint64_t> Register(const v1::GroupInfo& info) ABSL_LOCKS_EXCLUDED(mutex_);
  void StreamEnded(const std::string& group_id, uint64_t registration) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Beat(const v1::HeartbeatRequest& beat) ABSL_LOCKS_EXCLUDED(mutex_);
  void AskToRegister(const std::string& bundle_digest) ABSL_LOCKS_EXCLUDED(mutex_);
  void Fence(const std::string& group_id, uint64_t first_valid_epoch) ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t FirstValidEpoch(const std::string& group_id) const ABSL_LOCKS_EXCLUDED(mutex_);

  RouterReport Report() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Pending {
    RouteRequest request;
    Done done;
    uint64_t ticket = 0;
    int64_t avoid_until_us = 0;  // the group that failed; of AwakeUs, as all of the queue's and the book's
  };
  using Answers = std::vector<std::pair<Done, Route>>;
  using LogLines =
      std::vector<std::function<void()>>;  // written without the mutex: a log may wait for a disk

  void TimerLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t AwakeUs() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return awake_.NowUs(); }
  bool MayReadmit(const RequestId& id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Replace(const RequestId& id, Answers& answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Nullopt: it waits now.
  std::optional<Route> PlaceOrWait(Pending pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The refusal of what no group will ever take, however long it waits.
  std::optional<Route> RefuseIfHopeless(const RouteRequest& request) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Nullopt: there is no room now.
  std::optional<Route> TryRoute(const Pending& pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReserveForRest(RouteRequest& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Candidate> Candidates(const Pending& pending,
                                    const std::map<GroupEpoch, uint64_t>& matches) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<Route> Repeat(const RouteRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<Route> Enqueue(Pending pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Route Reserve(const RouteRequest& request, const Group& group, uint64_t matched_blocks)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TooLarge(const RouteRequest& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Its token ids are of a text bundle that the model's groups had and have no longer.
  bool Outdated(const RouteRequest& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AnyServing(const std::string& model) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Route Expired(const WaitQueue::Waiting& waiting) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Answers ServeQueue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WatchDrift(const Group& group, LogLines& lines) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WatchTokens(const Group& group, LogLines& lines) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  using Makers = std::vector<std::pair<GroupEpoch, uint64_t>>;
  void ChargeMakers(const Makers& made_by) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetEpoch(const GroupEpoch& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TimerDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void Deliver(const Answers& answers);

  const Config config_;
  const Clock& clock_;
  const int64_t started_us_;
  mutable Mutex mutex_;
  mutable AwakeTime awake_ ABSL_GUARDED_BY(mutex_);
  WorkerRegistry registry_ ABSL_GUARDED_BY(mutex_);
  ReservationBook book_ ABSL_GUARDED_BY(mutex_);
  PrefixMemory prefixes_ ABSL_GUARDED_BY(mutex_);
  TokenConservation tokens_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<RequestId, Makers> uncharged_ ABSL_GUARDED_BY(mutex_);  // settled, not closed yet
  WaitQueue queue_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<RequestId, Pending> pending_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, int> drifting_beats_ ABSL_GUARDED_BY(mutex_);
  uint64_t drift_alarms_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t conservation_alarms_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<int64_t> timer_at_us_ ABSL_GUARDED_BY(mutex_);  // what the thread waits for
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quire::coordinator
