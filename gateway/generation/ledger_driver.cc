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
      if (reply.ok()) Wake(accountant_.OnProgressReply(*call, *reply));
    });
  }
  if (due.settle) {
    client_.Settle(due.settle->request, [this](const absl::StatusOr<v1::SettleReply>& reply) {
      if (reply.ok()) accountant_.OnSettleReply(*reply);
      if (!reply.ok()) Log(LogLevel::kWarn, "settle_unanswered", "reason", MessageOf(reply.status()));
      MutexLock lock(&mutex_);  // its unlock lets Drain look again
    });
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
