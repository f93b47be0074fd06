// One request's life after it was parsed and encoded: Admit, a worker's tokens, tokens to text, grants, and
// at last the Settle. Lives in its handler's coroutine, on that connection's thread; gRPC threads reach it
// through a mailbox only. The handler loops: Next (what may be written now), write, Written. Where the group
// that runs it dies, drains or falls silent, it goes on elsewhere with the tokens that it has
// (generation_attempts.cc). Always: a position is handed out only under a granted one; exactly one ending is
// handed out; whatever happens, destruction cancels what runs and settles what was delivered.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/async/mailbox.h"
#include "base/core/awake_time.h"
#include "base/core/budgets.h"
#include "base/core/clock.h"
#include "base/http/request_record.h"
#include "gateway/generation/answer_buffer.h"
#include "gateway/generation/attempts.h"
#include "gateway/generation/generation_request.h"
#include "gateway/generation/ledger_driver.h"
#include "gateway/generation/metrics.h"
#include "gateway/generation/model_activity.h"
#include "gateway/generation/pulse.h"
#include "gateway/rpc/coordinator_client.h"
#include "gateway/rpc/facts.h"
#include "gateway/rpc/worker_client.h"
#include "proto/inference.pb.h"

namespace quire::gateway {

struct GenerationServices {
  CoordinatorClient& coordinator;
  WorkerClient& workers;
  LedgerDriver& ledger;
  const Facts& facts;
  const Clock& clock;
  GenerationMetrics& metrics;
  ModelActivity& activity;
  std::string gateway_id;
  Budgets& broken_lines;  // of the log, by key
  // Set, and all streams woken, when a drain has waited long enough: what is still open ends with an error.
  const std::atomic<bool>& cut_off;
  std::chrono::milliseconds max_wait{60'000};  // for an admission or another group, in the queue or elsewhere
  std::chrono::milliseconds silence_limit{8'000};  // a worker says something every second
  // With a coordinator that is away, for an admission: what its restart takes. Less than a stream waits with
  // its headers, so that a refusal has a status.
  std::chrono::milliseconds coordinator_patience{8'000};

  // For how long patience lasts, if the coordinator stays as it is now.
  int64_t PatienceLeftUs(int64_t now_us) const {
    return coordinator_patience.count() * 1000 - facts.AwayForUs(now_us).value_or(0);
  }
  bool CoordinatorIsGone(int64_t now_us) const { return PatienceLeftUs(now_us) <= 0; }
};

// What those are told whom nobody can admit.
absl::Status NobodyAdmits();

class Generation {
 public:
  // Asks for admission at once.
  Generation(const GenerationServices& services, GenerationRequest request);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Waits for something to write; empty when `limit` passed first, or after Abort. No limit: waits as long as
  // it takes.
  boost::asio::awaitable<Step> Next(std::optional<std::chrono::milliseconds> limit = std::nullopt);
  // As Next, but also return, perhaps with nothing, as soon as it has a group's room, or the grant as well.
  boost::asio::awaitable<Step> UntilPlaced();
  boost::asio::awaitable<Step> UntilGranted(std::optional<std::chrono::milliseconds> limit);
  bool granted() const { return granted_; }
  // The client's socket has taken so many positions more.
  void Written(uint32_t choice, uint64_t positions);
  // As it stands once all that was handed out has been written.
  Usage UsageAtEnd() const;
  // Model, tokens, cost and outcome, as they stand now, for the request's line in the log.
  void Describe(http::RequestRecord& record) const;
  // The client left before it got anything: that cost it nothing.
  bool abandoned() const { return ClientLeft() && written_ == 0; }
  // The request has ended so, in another of its generations: cancels what runs, unless this one was said to
  // its end. Next then returns.
  void EndWith(const Ending& ending);
  // The client is gone: cancels at once what runs for it. Next then returns.
  void Abort();

 private:
  struct AdmitEvent {
    AdmitCall call;
    v1::AdmitReply reply;
  };
  struct AdmitEnded {
    absl::Status status;
  };
  struct WorkerEvent {
    uint32_t attempt = 0;
    v1::RequestUpdate update;
    int64_t at_us = 0;  // when it came: a handler that writes hears of it later
  };
  struct Woken {};
  using Event = std::variant<AdmitEvent, AdmitEnded, WorkerEvent, absl::StatusOr<v1::ReadmitReply>, Woken>;

  enum class Until { kStep, kPlaced, kGranted };

  bool Reached() const;
  boost::asio::awaitable<Step> NextUntil(Until until, std::optional<std::chrono::milliseconds> limit);
  void SendAdmit();
  int64_t AdmitTimeLeftUs() const;
  void GiveUpAdmission();
  void DoWhatIsDue(int64_t now_us);
  int64_t NextDueUs() const;
  int64_t SilentFromUs() const;
  int64_t Look();
  void LookAfterWriting();
  void KeepLooking(const boost::asio::any_io_executor& executor);

  // The attempts: generation_attempts.cc.
  void SubmitTo(const v1::Placement& placement);
  bool HasOrSeeksGroup() const { return running_attempt_ != 0 || readmit_at_us_ || readmit_call_ != nullptr; }
  void LookElsewhere(bool failed, int64_t delay_us);
  void AttemptFailed(const absl::Status& why);
  void NoteBroken(const absl::Status& why);
  void SendReadmit();
  void ReadOn();
  bool Listens() const;
  void Handle(const AdmitEvent& event);
  void Handle(const AdmitEnded& event);
  void Handle(const WorkerEvent& event);
  void HandleEnd(const absl::Status& status, int64_t at_us);
  void Handle(const absl::StatusOr<v1::ReadmitReply>& reply);
  void Handle(const Woken&) {}
  void TakeScores(const v1::PromptScores& scores);
  bool Follows(const v1::Tokens& tokens) const;
  void FinishChoice(const v1::Finished& finished);
  uint64_t AcceptedTokens() const;
  void TakeTokens(const v1::Tokens& tokens);
  void ObserveToken();
  void ObserveEnd();
  void StopWorker();
  void Stop();
  // A line of the key's budget.
  void NoteBroken(const char* event, const absl::Status& why);
  void Fail(absl::Status error, v1::SettleReason reason = v1::SETTLE_SERVER_ERROR);
  Step TakeAllowed();
  void ApplyEnd(EndCause cause);
  bool ClientLeft() const;
  v1::SettleReason Reason() const;
  const char* Outcome() const;

  const GenerationServices& services_;
  Accountant& accountant_;
  std::shared_ptr<const void> until_admitted_;
  const GenerationRequest request_;
  const int64_t started_us_;
  const std::shared_ptr<Mailbox<Event>> mailbox_;
  AnswerBuffer answer_;

  std::unique_ptr<RpcCall> admit_call_;
  bool granted_ = false;
  Until until_ = Until::kStep;             // when Next returns
  std::optional<int64_t> admit_again_us_;  // when to send Admit again

  Attempts attempts_;
  std::unique_ptr<WorkerCall> worker_call_;
  v1::Placement placement_;               // the last one
  uint32_t running_attempt_ = 0;          // 0 = none runs; events of another are dropped (R6)
  int64_t heard_us_ = 0;                  // of the group that runs it, while it was listened to
  int64_t looked_us_ = 0;                 // when this request last looked at what is going on
  AwakeTime awake_;                       // since it began
  int64_t awake_us_ = 0;                  // at that look
  std::shared_ptr<Pulse> pulse_;          // while it runs
  int64_t ungranted_tokens_ = 0;          // that were handled and not yet made good by Grant
  std::vector<ChoiceSoFar> choices_;      // what the next attempt resumes with
  std::shared_ptr<PromptScores> scores_;  // and this; null where none were asked for
  bool scores_handed_out_ = false;
  std::optional<uint64_t> cached_tokens_;  // as the first attempt found them (R4)

  std::optional<int64_t> readmit_at_us_;  // when to ask for another group
  std::unique_ptr<RpcCall> readmit_call_;
  bool group_failed_ = false;  // the last one, so it is not asked for again

  uint64_t handed_out_ = 0;            // positions
  uint64_t reasoning_handed_out_ = 0;  // of them
  uint64_t written_ = 0;               // positions
  std::optional<Ending> ending_;       // handed out
  bool aborted_ = false;
  std::optional<int64_t> first_token_us_;
  int64_t last_token_us_ = 0;
};

}  // namespace quire::gateway
