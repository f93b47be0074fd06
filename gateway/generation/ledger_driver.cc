#include "gateway/generation/ledger_driver.h"

#include <algorithm>
#include <utility>

#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::gateway {
namespace {

constexpr int64_t kLongestNapUs = 60'000'000;

}  // namespace

LedgerDriver::LedgerDriver(std::shared_ptr<grpc::Channel> coordinator, const Clock& clock,
                           AccountantOptions options)
    : clock_(clock),
      accountant_(std::move(options), [this] { Kick(); }),
      client_(std::move(coordinator)),
      thread_([this] { Run(); }) {}

LedgerDriver::~LedgerDriver() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
  }
  thread_.join();
}

void LedgerDriver::Watch(const RequestId& id, std::function<void()> wake) {
  MutexLock lock(&mutex_);
  wakes_[id] = std::move(wake);
}

void LedgerDriver::Unwatch(const RequestId& id) {
  MutexLock lock(&mutex_);
  wakes_.erase(id);
}

void LedgerDriver::WakeAll() {
  std::vector<RequestId> ids;
  {
    MutexLock lock(&mutex_);
    for (const auto& [id, wake] : wakes_) ids.push_back(id);
  }
  Wake(ids);
}

bool LedgerDriver::Drain(absl::Duration limit) {
  MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(this, &LedgerDriver::AllSettled), limit);
}

void LedgerDriver::Kick() {
  MutexLock lock(&mutex_);
  kicked_ = true;
}

void LedgerDriver::Run() {
  while (true) {
    {
      MutexLock lock(&mutex_);
      const int64_t nap_us =
          std::min(accountant_.NextDueUs(), clock_.NowUs() + kLongestNapUs) - clock_.NowUs();
      if (nap_us > 0) {
        mutex_.AwaitWithTimeout(absl::Condition(this, &LedgerDriver::HasWork), absl::Microseconds(nap_us));
      }
      if (closing_) return;
      kicked_ = false;
    }
    SendDue();
  }
}

void LedgerDriver::SendDue() {
  Due due = accountant_.TakeDue(clock_.NowUs());
  Wake(due.ended);
  if (due.progress) {
    auto call = std::make_shared<ProgressCall>(*std::move(due.progress));
    client_.Progress(call->request, [this, call](const absl::StatusOr<v1::ProgressReply>& reply) {
      NoteProgress(reply.status());
      if (reply.ok()) Wake(accountant_.OnProgressReply(*call, *reply));
    });
  }
  if (due.settle) {
    auto call = std::make_shared<SettleCall>(*std::move(due.settle));
    client_.Settle(call->request, [this, call](const absl::StatusOr<v1::SettleReply>& reply) {
      if (reply.ok()) {
        accountant_.OnSettleReply(*call, *reply, clock_.NowUs());
      } else {
        accountant_.OnSettleFailed(*call, clock_.NowUs());
      }
      NoteSettle(reply.status());
    });
  }
}

// One line when an outage begins, one when it ends.
void LedgerDriver::NoteSettle(const absl::Status& status) {
  const size_t pending = accountant_.pending_settles();
  MutexLock lock(&mutex_);  // its unlock lets Drain look again
  if (std::exchange(settles_fail_, !status.ok()) == !status.ok()) return;
  if (status.ok()) {
    Log(LogLevel::kInfo, "settles_answered_again", "pending", pending);
  } else {
    Log(LogLevel::kWarn, "settle_unanswered", "pending", pending, "reason", MessageOf(status));
  }
}

// The same: unanswered for long enough it ends every answer.
void LedgerDriver::NoteProgress(const absl::Status& status) {
  MutexLock lock(&mutex_);
  if (closing_) return;  // its calls are cancelled
  if (std::exchange(progress_fails_, !status.ok()) == !status.ok()) return;
  if (status.ok()) {
    Log(LogLevel::kInfo, "progress_answered_again");
  } else {
    Log(LogLevel::kWarn, "progress_unanswered", "reason", MessageOf(status));
  }
}

void LedgerDriver::Wake(const std::vector<RequestId>& ids) {
  std::vector<std::function<void()>> wakes;
  {
    MutexLock lock(&mutex_);
    for (const RequestId& id : ids) {
      if (auto found = wakes_.find(id); found != wakes_.end()) wakes.push_back(found->second);
    }
  }
  for (const auto& wake : wakes) wake();
}

}  // namespace quire::gateway
