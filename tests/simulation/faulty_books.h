// The real Ledger over a store in memory, as a gateway's driver meets it: calls and answers are lost, commits
// fail, and sometimes nobody is there. Draws its faults from a seed. One thread, or a mutex of its owner's.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <random>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::simulation {

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  uint64_t In(uint64_t low, uint64_t high) { return low + random_() % (high - low + 1); }
  bool Percent(uint64_t percent) { return In(1, 100) <= percent; }

 private:
  std::mt19937_64 random_;
};

class FaultyBooks {
 public:
  explicit FaultyBooks(uint64_t seed) : draw_(seed) { EXPECT_TRUE(books_.Start().ok()); }

  // An Admit whose grant is sure: how one is lost is ledger_simulation's.
  v1::AdmitReply Open(const v1::AdmitRequest& request) {
    absl::StatusOr<v1::AdmitReply> reply = absl::UnavailableError("");
    while (!reply.ok() || !reply->has_grant()) reply = books_.Admit(request);
    return *std::move(reply);
  }
  absl::StatusOr<v1::ProgressReply> Progress(const v1::ProgressRequest& request) {
    return Serve<v1::ProgressReply>(&coordinator::Ledger::Progress, request);
  }
  absl::StatusOr<v1::SettleReply> Settle(const v1::SettleRequest& request) {
    return Serve<v1::SettleReply>(&coordinator::Ledger::Settle, request);
  }
  void SetAway(bool away) { away_ = away; }
  void NoMoreFaults() { faults_ = false; }

  // What is wrong with the books, given what each request delivered.
  std::string Compare(const std::map<RequestId, uint64_t>& delivered) const {
    for (const auto& [id, positions] : delivered) {
      const auto row = store_.requests().find(id);
      if (row == store_.requests().end() || row->second.state != coordinator::RequestState::kClosed) {
        return absl::StrCat("drained, but a request that delivered ", positions, " is not closed");
      }
      const auto entry = store_.entries().find(id);
      const uint64_t billed = entry == store_.entries().end() ? 0 : entry->second.billed.completion;
      if (billed != positions) return absl::StrCat("delivered ", positions, ", billed ", billed);
    }
    return "";
  }

 private:
  template <typename Answer, typename Message>
  absl::StatusOr<Answer> Serve(void (coordinator::Ledger::*call)(const Message&, coordinator::Reply<Answer>),
                               const Message& message) {
    const absl::Status lost = absl::UnavailableError("lost");
    if (away_ || Fault(15)) return lost;
    if (Fault(10)) {
      store_.FailNextCommit(draw_.Percent(50) ? coordinator::CommitFault::kDiskFull
                                              : coordinator::CommitFault::kUnknown);
    }
    const absl::StatusOr<Answer> done =
        books_.CommitFor<Answer>([&](auto reply) { (books_.ledger.*call)(message, std::move(reply)); });
    if (Fault(15)) return lost;  // though it was done
    return done;
  }

  bool Fault(uint64_t percent) { return faults_ && draw_.Percent(percent); }

  Draw draw_;
  coordinator::MemoryStore store_;
  coordinator::TestLedger books_{&store_};
  bool away_ = false, faults_ = true;
};

}  // namespace quire::simulation
