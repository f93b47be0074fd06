#include "coordinator/routing/router.h"

#include <algorithm>

#include "base/core/hash.h"

namespace quire::coordinator {
namespace {

constexpr uint32_t kReplacedRetryS = 1;

v1::Placement PlacementOn(const Group& group) {
  v1::Placement placement;
  placement.set_group_id(group.info.group_id());
  placement.set_group_epoch(group.info.epoch());
  placement.set_address(group.info.address());
  placement.set_numerics_id(group.info.numerics_id());
  return placement;
}

Route Ending() {
  Route route;
  route.ending = true;
  return route;
}

Route SentAgain() {
  return RefusedRoute(v1::REFUSAL_NO_CAPACITY, "another message of this request took its place; try again",
                      kReplacedRetryS);
}

Route NotOpen() { return RefusedRoute(v1::REFUSAL_CLOSED, "the request is not open any more"); }

Route Placed(const Group& group) {
  Route route;
  route.placement = PlacementOn(group);
  return route;
}

}  // namespace

Router::Router(const Config& config, const Clock& clock)
    : config_(config), clock_(clock), started_us_(clock.NowUs()), awake_(clock), queue_(config.queue) {
  thread_ = std::thread([this] { TimerLoop(); });
}

Router::~Router() {
  Close();
  thread_.join();
}

void Router::Close() {
  Answers answers;
  {
    MutexLock lock(&mutex_);
    closed_ = true;
    for (auto& [id, pending] : pending_) {
      queue_.Remove(id);
      answers.emplace_back(std::move(pending.done), Ending());
    }
    pending_.clear();
  }
  Deliver(answers);
}

uint64_t Router::Place(RouteRequest request, Done done) {
  Answers answers;
  uint64_t ticket = 0;
  {
    MutexLock lock(&mutex_);
    ticket = ++last_ticket_;
    std::optional<Route> route;
    if (closed_) {
      route = Ending();
    } else if (request.running && !MayReadmit(request.id)) {
      route = NotOpen();
    } else {
      Replace(request.id, answers);
      route = PlaceOrWait({std::move(request), done, ticket, AwakeUs() + config_.avoid_failed_us});
    }
    if (route) answers.emplace_back(std::move(done), *std::move(route));
  }
  Deliver(answers);
  return ticket;
}

// A gateway that sent its Admit again may find meanwhile that its group is gone. The Admit must not be lost
// by it: it brings the grant.
bool Router::MayReadmit(const RequestId& id) const {
  const auto waiting = pending_.find(id);
  const bool admit_waits = waiting != pending_.end() && !waiting->second.request.running;
  return !admit_waits && book_.Find(id) != nullptr;
}

// An Admit is sent again when its stream has broken: nobody is there to hear of the first. A Readmit's caller
// may well be.
void Router::Replace(const RequestId& id, Answers& answers) {
  const auto waiting = pending_.find(id);
  if (waiting == pending_.end()) return;
  if (waiting->second.request.running) answers.emplace_back(std::move(waiting->second.done), SentAgain());
  queue_.Remove(id);
  pending_.erase(waiting);
}

std::optional<Route> Router::PlaceOrWait(Pending pending) {
  if (std::optional<Route> route = Repeat(pending.request)) return route;
  if (pending.request.running) ReserveForRest(pending.request);
  if (std::optional<Route> route = RefuseIfHopeless(pending.request)) return route;
  if (!queue_.HasWaiting(pending.request.model, pending.request.running)) {
    if (std::optional<Route> route = TryRoute(pending)) return route;
  }
  return Enqueue(std::move(pending));
}

// A request that was running keeps what it holds: its grant, or what it has and the next positions.
void Router::ReserveForRest(RouteRequest& request) const {
  const Reservation* open = book_.Find(request.id);
  if (open == nullptr) return;
  const uint64_t held = open->prompt_tokens + open->granted;
  if (held > request.prompt_tokens + request.positions) request.positions = held - request.prompt_tokens;
}

void Router::Cancel(const RequestId& id, uint64_t ticket) {
  MutexLock lock(&mutex_);
  auto it = pending_.find(id);
  if (it == pending_.end() || it->second.ticket != ticket) return;
  queue_.Remove(id);
  pending_.erase(it);
}

// A resent Admit: its first answer may have been lost, so it gets the same one.
std::optional<Route> Router::Repeat(const RouteRequest& request) {
  const Reservation* open = request.running ? nullptr : book_.Find(request.id);
  if (open == nullptr) return std::nullopt;
  const Group* group = registry_.Find(open->group.id);
  if (group == nullptr || EpochOf(*group) != open->group ||
      WorkerRegistry::StateOf(*group, clock_.NowUs()) != GroupState::kServing ||
      !Understands(*group, request)) {
    return std::nullopt;
  }
  return Placed(*group);
}

std::optional<Route> Router::TryRoute(const Pending& pending) {
  const RouteRequest& request = pending.request;
  const std::map<GroupEpoch, uint64_t> matches = prefixes_.Match(request.prefix_hashes);
  const std::vector<Candidate> candidates = Candidates(pending, matches);
  const std::optional<size_t> picked =
      PickGroup(candidates, BlocksFor(request.prompt_tokens + request.positions));
  if (!picked) return std::nullopt;
  const Group& group = *registry_.Find(candidates[*picked].id);
  auto match = matches.find(EpochOf(group));
  return Reserve(request, group, match == matches.end() ? 0 : match->second);
}

std::vector<Candidate> Router::Candidates(const Pending& pending,
                                          const std::map<GroupEpoch, uint64_t>& matches) const {
  const RouteRequest& request = pending.request;
  const int64_t now_us = clock_.NowUs(), awake_us = AwakeUs();
  std::vector<Candidate> candidates;
  for (const auto& [id, group] : registry_.groups()) {
    const GroupEpoch epoch = EpochOf(group);
    const bool avoided = epoch == request.failed && awake_us < pending.avoid_until_us;
    if (group.info.model() != request.model || avoided || !Understands(group, request) ||
        WorkerRegistry::StateOf(group, now_us) != GroupState::kServing) {
      continue;
    }
    const GroupUse use = book_.UseOfOthers(epoch, request.id);
    auto match = matches.find(epoch);
    const uint64_t matched = match == matches.end() ? 0 : match->second;
    candidates.push_back({id, CapacityOf(group), use.blocks, use.requests, group.info.max_sequences(),
                          PrefixValue(matched, BlocksFor(request.prompt_tokens)) * prefixes_.TrustIn(epoch),
                          request.numerics_id.empty() || request.numerics_id == group.info.numerics_id()});
  }
  return candidates;
}

Route Router::Reserve(const RouteRequest& request, const Group& group, uint64_t matched_blocks) {
  const GroupEpoch epoch = EpochOf(group);
  Reservation reservation{epoch, request.prompt_tokens, request.positions, matched_blocks, false};
  const Reservation* open = book_.Find(request.id);
  if (open != nullptr &&
      request.running) {  // the same hold, in the same terms: the prompt, and positions from its end on
    const uint64_t positions = request.prompt_tokens + request.positions - open->prompt_tokens;
    reservation = {epoch, open->prompt_tokens, positions, 0, false};
  }
  reservation.in_ledger = open != nullptr && open->in_ledger;
  book_.Put(request.id, std::move(reservation), AwakeUs());
  prefixes_.Remember(request.prefix_hashes, epoch);
  return Placed(group);
}

std::optional<Route> Router::Enqueue(Pending pending) {
  const RouteRequest& request = pending.request;
  const int64_t now_us = AwakeUs();
  int64_t wait_us = request.max_wait_us;
  if (!request.running && !AnyServing(request.model)) {
    const int64_t start_us = started_us_ + config_.start_no_group_wait_us - clock_.NowUs();
    wait_us = std::min(wait_us, std::max(config_.no_group_wait_us, start_us));
  }
  WaitQueue::Waiting waiting{request.id, request.account,  request.model,
                             now_us,     now_us + wait_us, request.running};
  if (wait_us <= 0) return Expired(waiting);
  const RequestId id = request.id;
  if (const auto verdict = queue_.Push(std::move(waiting)); verdict != WaitQueue::Verdict::kQueued) {
    const bool full = verdict == WaitQueue::Verdict::kFull;
    return RefusedRoute(full ? v1::REFUSAL_QUEUE_FULL : v1::REFUSAL_RATE,
                        full ? "too many requests are waiting; retry later"
                             : "too many requests of this account are waiting; retry later",
                        queue_.RetryAfterSeconds());
  }
  pending_[id] = std::move(pending);
  return std::nullopt;
}

Router::Answers Router::ServeQueue() {
  Answers answers;
  const int64_t awake_us = AwakeUs();
  // Serve runs it at once, so the lock is held.
  auto place = [&](const WaitQueue::Waiting& waiting) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    auto it = pending_.find(waiting.id);
    std::optional<Route> route = RefuseIfHopeless(it->second.request);
    if (!route) route = TryRoute(it->second);
    if (!route) {
      const bool avoids = !it->second.request.failed.id.empty() && awake_us < it->second.avoid_until_us;
      return avoids ? WaitQueue::Offer::kWaitsAlone : WaitQueue::Offer::kNoRoom;
    }
    const auto offer = route->placement ? WaitQueue::Offer::kTaken : WaitQueue::Offer::kRefused;
    answers.emplace_back(std::move(it->second.done), *std::move(route));
    pending_.erase(it);
    return offer;
  };
  queue_.Serve(clock_.NowUs(), place);
  return answers;
}

void Router::Deliver(const Answers& answers) {
  for (const auto& [done, route] : answers) done(route);
}

// ---- open requests ----

void Router::Confirm(const RequestId& id, uint64_t prompt_tokens, uint64_t granted) {
  MutexLock lock(&mutex_);
  book_.Confirm(id, prompt_tokens, granted, AwakeUs());
}

void Router::Refused(const RequestId& id) {
  Answers answers;
  {
    MutexLock lock(&mutex_);
    const Reservation* known = book_.Find(id);
    if (known == nullptr || known->in_ledger) return;
    book_.Remove(id);
    answers = ServeQueue();
  }
  Deliver(answers);
}

bool Router::IsOpen(const RequestId& id) const {
  MutexLock lock(&mutex_);
  return book_.Find(id) != nullptr;
}

void Router::Heard(const RequestId& id, const GroupEpoch& group) {
  MutexLock lock(&mutex_);
  book_.Refresh(id, group, AwakeUs());
}

void Router::Release(const RequestId& id, std::optional<Served> served) {
  Answers answers;
  {
    MutexLock lock(&mutex_);
    const std::optional<Reservation> released = book_.Remove(id);
    if (released && served) {
      prefixes_.Correct(released->group, released->expected_cached_blocks, served->cached_tokens);
      if (released->in_ledger) uncharged_[id] = std::move(served->made_by);
    }
    if (const auto made = uncharged_.find(id); !served && made != uncharged_.end()) {
      ChargeMakers(made->second);
      uncharged_.erase(made);
    }
    const auto waiting = pending_.find(id);
    // The ledger's word after the gateway's: nobody has more room than before.
    if (!released && waiting == pending_.end()) return;
    Answers closed;
    if (waiting != pending_.end()) {  // it looked for another group
      queue_.Remove(id);
      closed.emplace_back(std::move(waiting->second.done), NotOpen());
      pending_.erase(waiting);
    }
    answers = ServeQueue();
    answers.insert(answers.end(), closed.begin(), closed.end());
  }
  Deliver(answers);
}

// Epochs that are over have no count any more that it could be held against.
void Router::ChargeMakers(const Makers& made_by) {
  for (const auto& [maker, positions] : made_by) {
    const Group* group = registry_.Find(maker.id);
    if (group != nullptr && EpochOf(*group) == maker) tokens_.Delivered(maker, positions);
  }
}

// ---- the thread ----

bool Router::TimerDue() const { return closed_ || queue_.NextDeadlineUs() != timer_at_us_; }

void Router::TimerLoop() {
  while (true) {
    Answers answers;
    {
      MutexLock lock(&mutex_);
      if (closed_) return;
      for (const WaitQueue::Waiting& waiting : queue_.TakeExpired(AwakeUs())) {
        auto it = pending_.find(waiting.id);
        answers.emplace_back(std::move(it->second.done), Expired(waiting));
        pending_.erase(it);
      }
      if (answers.empty()) {
        timer_at_us_ = queue_.NextDeadlineUs();
        const absl::Duration wait =
            timer_at_us_ ? absl::Microseconds(std::min(*timer_at_us_ - AwakeUs(), AwakeTime::kRoundUs))
                         : absl::Hours(1);
        mutex_.AwaitWithTimeout(absl::Condition(this, &Router::TimerDue), wait);
      }
    }
    Deliver(answers);
  }
}

}  // namespace quire::coordinator
