// Streams of a simulated gateway over the real LedgerDriver: each delivers what it may, waits to be woken
// where it may not, and ends when it has said all or was stopped. One thread; wakes may come from others.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/core/clock.h"
#include "base/core/ids.h"
#include "base/core/mutex.h"
#include "gateway/generation/ledger_driver.h"
#include "tests/simulation/faulty_books.h"

namespace quire::simulation {

class DriverStreams {
 public:
  using Admit = std::function<v1::AdmitReply(const v1::AdmitRequest&)>;

  // All outlive it; the driver may still be to be made.
  DriverStreams(gateway::LedgerDriver& driver, const Clock& clock, Admit admit)
      : driver_(driver), clock_(clock), admit_(std::move(admit)) {}

  void Open(Draw& draw) {
    const uint64_t length = draw.In(0, 1500);
    const RequestId id = OpenQuiet(draw);
    open_[id] = length;
    driver_.Watch(id, [this, id] { Wake(id); });
    const uint32_t attempt = driver_.accountant().NewAttempt(id, v1::Placement());
    EXPECT_TRUE(driver_.accountant().Accept(id, attempt, length, 0, clock_.NowUs()));
    Wake(id);
  }
  // One that has a grant, and says nothing.
  RequestId OpenQuiet(Draw& draw) {
    std::string raw;
    for (int i = 0; i < 16; ++i) raw.push_back(static_cast<char>(draw.In(0, 255)));
    const RequestId id = *RequestId::FromBytes(raw);
    const uint64_t prompt = draw.In(1, 30), most = 2000;
    delivered_[id] = 0;
    const gateway::AdmitCall call = driver_.accountant().BeginAdmit({id, 1, prompt, most}, clock_.NowUs());
    driver_.accountant().OnAdmitReply(call, admit_(coordinator::TestLedger::AdmitOf(id, prompt, most)),
                                      clock_.NowUs());
    return id;
  }

  bool AwaitWoken(absl::Duration limit) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(this, &DriverStreams::AnyWoken), limit);
  }
  // False: nobody was woken.
  bool WriteWoken() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::set<RequestId> woken;
    {
      MutexLock lock(&mutex_);
      woken = std::exchange(woken_, {});
    }
    for (const RequestId& id : woken) Write(id);
    return !woken.empty();
  }

  bool empty() const { return open_.empty(); }
  const std::map<RequestId, uint64_t>& delivered() const {
    return delivered_;
  }  // of all, also of those ended

 private:
  // All that it may; then it waits to be woken, or has ended.
  void Write(const RequestId& id) {
    const auto stream = open_.find(id);
    if (stream == open_.end()) return;
    gateway::Accountant& accountant = driver_.accountant();
    while (delivered_[id] < stream->second) {
      const gateway::Allowance may = accountant.MayDeliver(id, clock_.NowUs());
      if (may.end != gateway::EndCause::kNone) return End(id, v1::SETTLE_STOPPED);
      if (may.positions == 0) return;
      const uint64_t now = std::min(may.positions, stream->second - delivered_[id]);
      delivered_[id] += now;
      accountant.Delivered(id, 0, now);
    }
    End(id, v1::SETTLE_COMPLETED);
  }
  void End(const RequestId& id, v1::SettleReason reason) {
    driver_.Unwatch(id);
    open_.erase(id);
    driver_.accountant().Finish(id, reason, clock_.NowUs());
  }
  void Wake(const RequestId& id) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    woken_.insert(id);
  }
  bool AnyWoken() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !woken_.empty(); }

  gateway::LedgerDriver& driver_;
  const Clock& clock_;
  const Admit admit_;
  std::map<RequestId, uint64_t> open_;  // with how much they have to say
  std::map<RequestId, uint64_t> delivered_;
  Mutex mutex_;
  std::set<RequestId> woken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::simulation
