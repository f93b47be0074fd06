// Counts what one gateway delivers and keeps the gateway's half of the ledger's protocol (docs/LEDGER.md):
// how much may be written to a client's socket, what Progress and Settle say and when, when a stream must
// stop, and usage and cost from the same counter. One per gateway, owned by gateway.cc; any thread (one mutex
// inside, held for nanoseconds to microseconds, no I/O, no clock: `now_us` is the owner's Clock::NowUs()).
// Always: delivered <= grant, whatever happened to the messages; every admitted request is settled until
// acknowledged.
//
// One request, in order (generation/):
//   - AdmitCall call = BeginAdmit({id, choices, prompt_tokens, max_tokens}, now), again for each resend; then
//     OnAdmitReply(call, reply, now) for each reply. Nothing reaches the client before a grant.
//   - attempt = NewAttempt(id, placement) for each Generate.
//   - For each message of tokens: Accept(id, attempt, n, cached, now); drop them where it says false (R6).
//   - Before each write MayDeliver(id, now), and at most that much; after it
//     Delivered(id, choice, positions). One write at a time per request. The usage frame:
//     UsageAfter(id, positions that the same write carries).
//   - At the end, on every path: Finish(id, reason, now). Then the id is the Accountant's to settle.
// The driver (generation/ledger_driver.h): at NextDueUs(), and whenever on_work was called: TakeDue(now),
// send what it returns, hand replies back with the call that they answer. A Settle that failed is told too
// (OnSettleFailed): the next one waits for it. A failed Progress needs nothing: TakeDue says it again when
// due.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/core/ids.h"
#include "base/core/mutex.h"
#include "base/core/token_price.h"
#include "gateway/accounting/settle_queue.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {

struct AccountantOptions {
  std::string gateway_id;
  int64_t progress_every_us = 500'000;  // the steady beat of Progress
  int64_t progress_min_us = 20'000;     // the least time between two, when a stream is short of grant
  int64_t stop_after_us = 30'000'000;   // R5
  uint64_t grant_ahead = 256;           // positions asked for beyond what is accepted
  SettleOptions settles;
  size_t max_pending_settles = 10'000;  // beyond: no new requests
};

struct AccountedRequest {
  RequestId id;
  uint32_t choices = 1;
  uint64_t prompt_tokens = 0;
  uint64_t max_tokens = 0;  // per choice; 0: its one position is no token
};

// Each call carries when it was sent: R5 counts from the sending of the last message that was acknowledged.
// Keep it beside the RPC and give it back with the reply.
struct AdmitCall {
  RequestId id;
  int64_t sent_us = 0;
};
struct ProgressCall {
  v1::ProgressRequest request;
  int64_t sent_us = 0;
};
enum class EndCause {
  kNone,
  kBudget,   // no more can be afforded: write `positions`, then finish with a usage frame, reason
             // SETTLE_BUDGET
  kRevoked,  // the key was revoked: end with an error, reason SETTLE_REVOKED
  kClosed,   // the ledger closed it (reaped): end with an error and no usage frame, reason SETTLE_STOPPED
  kStopped,  // R5, no coordinator answered for too long: the same
};

// What may be done to the client's socket now. `positions` 0 and `end` kNone: wait until the id is among the
// changed ones (grants answer OnAdmitReply and OnProgressReply). Ask before every write, a terminal frame's
// too: under kClosed and kStopped no usage may be written.
struct Allowance {
  uint64_t positions = 0;  // 0 with every `end` but kBudget
  EndCause end = EndCause::kNone;
};

struct Usage {
  TokenCounts counts;
  int64_t cost_nano_usd = 0;
  uint64_t reasoning_tokens = 0;  // of the completion, as Generation tells them apart: they cost the same
};

// What is due. `ended`: requests whose allowance ended by R5 and whose streams may be waiting: wake them.
struct Due {
  std::optional<ProgressCall> progress;
  std::optional<SettleCall> settle;
  std::vector<RequestId> ended;
};

struct AccountantCounters {
  uint64_t delivered_positions = 0;
  uint64_t delivered_cost_nano_usd = 0;  // by the price of each grant
  uint64_t stopped = 0;                  // requests ended by R5
  uint64_t settled = 0;                  // acknowledged
  uint64_t settle_mismatches = 0;  // the ledger posted something else than the usage (reaped, or an alarm)
};

class Accountant {
 public:
  // `on_work` is called, outside the mutex, when NextDueUs() has become earlier: wake the RPC driver.
  Accountant(AccountantOptions options, std::function<void()> on_work = {});

  // Before every sending of an Admit, the first and each resend.
  AdmitCall BeginAdmit(const AccountedRequest& request, int64_t now_us);
  // Every event of the Admit's stream, also one that comes after Finish (a late grant is settled, R7). True:
  // there is a grant now.
  bool OnAdmitReply(const AdmitCall& call, const v1::AdmitReply& reply, int64_t now_us);

  // The number of the next Generate of this request, from 1, and where it runs: Progress says so, and Settle
  // says what each group made. A placement that is not made use of (an Admit sent again brings one) is
  // nobody's affair.
  uint32_t NewAttempt(const RequestId& id, const v1::Placement& placement);
  // `positions` more tokens came from the worker, all choices together (0 is fine); `cached_tokens` as it
  // reports, which counts until a first position was accepted (R4). False: they are of an older attempt or
  // the request is over; drop them.
  bool Accept(const RequestId& id, uint32_t attempt, uint64_t positions, uint64_t cached_tokens,
              int64_t now_us);

  Allowance MayDeliver(const RequestId& id, int64_t now_us);
  void Delivered(const RequestId& id, uint32_t choice, uint64_t positions);
  // Usage as it will stand once `positions` more are delivered (0: as it stands).
  Usage UsageAfter(const RequestId& id, uint64_t positions) const;

  // Once per request, on every path, after the terminal frame was written or given up. Not for a request
  // refused by the coordinator (OnAdmitReply ended it; calling it then is harmless).
  void Finish(const RequestId& id, v1::SettleReason reason, int64_t now_us);

  // When TakeDue has something to say; int64 max if never.
  int64_t NextDueUs() const;
  Due TakeDue(int64_t now_us);
  // Returns the requests whose allowance changed: wake their streams.
  std::vector<RequestId> OnProgressReply(const ProgressCall& call, const v1::ProgressReply& reply);
  void OnSettleReply(const SettleCall& call, const v1::SettleReply& reply, int64_t now_us);
  void OnSettleFailed(const SettleCall& call, int64_t now_us);

  // So many settles wait for the ledger that nothing new may be begun.
  bool backlogged() const;

  // Drain: exit only when both are 0.
  size_t open_requests() const;
  size_t pending_settles() const;
  AccountantCounters counters() const;

 private:
  struct Made {  // by the group of one attempt, over all choices
    std::string group_id;
    uint64_t group_epoch = 0;
    uint64_t positions = 0;
  };
  struct Open {
    AccountedRequest request;
    uint32_t admits_sent = 0;
    uint32_t attempt = 0;
    std::vector<Made> made;  // by attempt, the last one that runs; of those before, who made any
    uint64_t accepted = 0;   // from workers, over all choices: what is asked for goes by it
    std::map<uint32_t, uint64_t> delivered;  // by choice
    uint64_t delivered_total = 0;
    uint64_t acked_total = 0;    // of it, the most that a reply has acknowledged
    uint64_t cached_tokens = 0;  // fixed at the first accepted position
    uint64_t granted = 0;        // 0: no grant yet
    uint64_t asked = 0;          // the most positions asked for since the grant last grew
    TokenPrice price;            // of the grant, for the request's whole life
    int64_t acked_us = 0;        // the sending of the last acknowledged message
    int64_t stop_us = 0;         // R5: the stream ends then, if nothing is acknowledged
    bool waiting = false;        // was told to wait: wake it
    bool budget_refused = false;
    EndCause end = EndCause::kNone;
  };

  uint64_t MaxPositions(const Open& open) const {
    return open.request.choices * PositionsEach(open.request.max_tokens);
  }
  uint64_t Want(const Open& open) const;
  Usage UsageOf(const Open& open, uint64_t positions) const;
  bool Grant(const AdmitCall& call, const v1::Grant& grant, int64_t now_us)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Refused(const AdmitCall& call, const v1::Refusal& refusal, int64_t now_us)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void AddMadeBy(const Open& open, v1::RequestSettle* settle);
  void Abandon(const RequestId& id, int64_t now_us) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<ProgressCall> TakeProgress(int64_t now_us) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Acknowledge(Open& open, const v1::ProgressResult& result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DueBy(int64_t& due_us, int64_t at_us) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SettlesChanged() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeDriver() ABSL_LOCKS_EXCLUDED(mutex_);

  const AccountantOptions options_;
  const std::function<void()> on_work_;
  mutable Mutex mutex_;
  // Ordered, so that a simulation's seed replays exactly.
  std::map<RequestId, Open> open_ ABSL_GUARDED_BY(mutex_);
  SettleQueue settles_ ABSL_GUARDED_BY(mutex_);
  int64_t progress_due_us_ ABSL_GUARDED_BY(mutex_) = INT64_MAX;
  int64_t settle_due_us_ ABSL_GUARDED_BY(mutex_) = INT64_MAX;
  int64_t last_progress_us_ ABSL_GUARDED_BY(mutex_) = INT64_MIN / 2;
  bool wake_driver_ ABSL_GUARDED_BY(mutex_) = false;
  AccountantCounters counters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::gateway
