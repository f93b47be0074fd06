#include "coordinator/ledger/ledger_thread.h"

#include <algorithm>
#include <utility>

#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

// Posts a call whose reply comes in any case: from the ledger, or, if the queue is full, here and now. The
// reply is shared because an operation that was not taken is gone.
template <typename Message, typename Answer>
void PostOrAnswer(LedgerThread& thread, void (Ledger::*call)(const Message&, Reply<Answer>), Message message,
                  Reply<Answer> reply, absl::StatusOr<Answer> when_full) {
  auto shared = std::make_shared<Reply<Answer>>(std::move(reply));
  auto operation = [call, shared, message = std::move(message)](Ledger& ledger) {
    (ledger.*call)(message, [shared](absl::StatusOr<Answer> answer) { (*shared)(std::move(answer)); });
  };
  if (!thread.Post(std::move(operation))) (*shared)(std::move(when_full));
}

absl::Status QueueFull() {
  return absl::ResourceExhaustedError("the ledger's queue is full; send it again in a second");
}

}  // namespace

LedgerThread::LedgerThread(Ledger* ledger, const Clock* clock, LedgerThreadOptions options)
    : ledger_(ledger), clock_(clock), options_(std::move(options)), thread_([this] { Run(); }) {}

LedgerThread::~LedgerThread() { Stop(); }

void LedgerThread::Admit(v1::AdmitRequest request, Reply<v1::AdmitReply> reply) {
  v1::AdmitReply full;
  full.mutable_refusal()->set_reason(v1::REFUSAL_LEDGER);
  full.mutable_refusal()->set_message("the ledger is overloaded; try again");
  full.mutable_refusal()->set_retry_after_s(1);
  PostOrAnswer<v1::AdmitRequest, v1::AdmitReply>(*this, &Ledger::Admit, std::move(request), std::move(reply),
                                                 full);
}

void LedgerThread::Progress(v1::ProgressRequest request, Reply<v1::ProgressReply> reply) {
  PostOrAnswer<v1::ProgressRequest, v1::ProgressReply>(*this, &Ledger::Progress, std::move(request),
                                                       std::move(reply), QueueFull());
}

void LedgerThread::Settle(v1::SettleRequest request, Reply<v1::SettleReply> reply) {
  PostOrAnswer<v1::SettleRequest, v1::SettleReply>(*this, &Ledger::Settle, std::move(request),
                                                   std::move(reply), QueueFull());
}

bool LedgerThread::Post(Operation operation) {
  MutexLock lock(&mutex_);
  if (stopping_ || queue_.size() >= options_.max_queued) return false;
  queue_.push_back(std::move(operation));
  return true;
}

bool LedgerThread::PostOwed(Operation operation) {
  MutexLock lock(&mutex_);
  if (stopping_) return false;
  queue_.push_back(std::move(operation));
  return true;
}

LedgerCounters LedgerThread::counters() const {
  MutexLock lock(&mutex_);
  return counters_;
}

bool LedgerThread::commits_fail() const {
  MutexLock lock(&mutex_);
  return commits_fail_;
}

bool LedgerThread::hangs() const {
  MutexLock lock(&mutex_);
  return busy_since_us_ && clock_->NowUs() - *busy_since_us_ > kHangsAfterUs;
}

void LedgerThread::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

bool LedgerThread::HasWork() const { return stopping_ || !queue_.empty(); }

// Waits for operations until the next reaper pass is due. Null: stopped and empty.
std::optional<std::vector<LedgerThread::Operation>> LedgerThread::TakeBatch(int64_t deadline_us) {
  MutexLock lock(&mutex_);
  busy_since_us_.reset();
  const int64_t wait_us = std::max<int64_t>(deadline_us - clock_->NowUs(), 0);
  mutex_.AwaitWithTimeout(absl::Condition(this, &LedgerThread::HasWork), absl::Microseconds(wait_us));
  if (stopping_ && queue_.empty()) return std::nullopt;
  std::vector<Operation> batch;
  const size_t most = ledger_->careful() ? 1 : options_.max_batch;
  while (!queue_.empty() && batch.size() < most) {
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  busy_since_us_ = clock_->NowUs();
  return batch;
}

void LedgerThread::Run() {
  reap_us_ = clock_->NowUs();
  while (auto batch = TakeBatch(ledger_->loaded() ? reap_us_ : std::min(reap_us_, retry_us_))) {
    for (Operation& operation : *batch) operation(*ledger_);
    ReapIfDue();
    CommitOrWait();
  }
}

void LedgerThread::ReapIfDue() {
  const int64_t now_us = clock_->NowUs();
  if (now_us < reap_us_) return;
  ledger_->AdvanceReaper(now_us);
  reap_us_ = now_us + options_.reap_period_us;
}

void LedgerThread::CommitOrWait() {
  if (!ledger_->loaded() && clock_->NowUs() < retry_us_) return;
  const absl::Status status = ledger_->Commit(clock_->UnixMs());
  {
    MutexLock lock(&mutex_);
    counters_ = ledger_->counters();
    commits_fail_ = ledger_->failures_in_a_row() > 0;
  }
  if (status.ok()) return;
  const int failures = ledger_->failures_in_a_row();
  retry_us_ = clock_->NowUs() + std::min(kFirstRetryUs << std::clamp(failures - 1, 0, 10), kLastRetryUs);
  Log(LogLevel::kError, IsFatal(status) ? "ledger_lost" : "ledger_commit_failed", "error", MessageOf(status),
      "failures_in_a_row", failures);
  if (IsFatal(status) && options_.on_fatal) options_.on_fatal(status);
}

}  // namespace quire::coordinator
