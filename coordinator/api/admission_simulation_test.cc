// The real Admission, Router, LedgerThread and Ledger over a store that fails on demand, through random
// requests, duplicates, readmissions, settlements, reaps, faults and restarts of the group, one step at a
// time, from a seed. After every step, when all is quiet, the router has exactly the reservations that the
// ledger has open; at the end there are none. Seeds: base/core/test_seeds.h; QUIRE_PLANTED_BUG says that
// something must be found (tests/simulation/CMakeLists.txt).
#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/core/test_seeds.h"
#include "coordinator/api/admission.h"
#include "coordinator/api/ledger_news.h"
#include "coordinator/fleet/test_group_info.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

constexpr int64_t kReapPassS = 10, kReapPasses = 2 * 15 * 60 / kReapPassS;  // the most that a pass counts

class AdmissionWorld {
 public:
  explicit AdmissionWorld(uint64_t seed) : random_(seed) {
    EXPECT_TRUE(ledger_.TakeOver().ok());
    ledger_.PutAccount("acme", 200'000, [](auto) {});
    KeyRow key;
    key.id = "key";
    key.hmac = std::string(32, 'h');
    key.account = "acme";
    ledger_.CreateKey(key, [](auto) {});
    ledger_.SetPrice("tiny", {.version = 1, .prompt = 75, .cached_prompt = 75, .completion = 150},
                     [](auto) {});
    EXPECT_TRUE(ledger_.Commit(0).ok());
    EXPECT_TRUE(facts_.PutModel(Group(1), 0).ok());
    EXPECT_TRUE(router_.Register(Group(1)).ok());
    LedgerThreadOptions options;
    options.reap_period_us = int64_t{1} << 40;  // a fortnight: Reap() does, on a time of its own
    thread_ = std::make_unique<LedgerThread>(&ledger_, &clock_, options);
    admission_ = std::make_unique<Admission>(thread_.get(), &router_, &facts_, metrics_);
  }
  ~AdmissionWorld() {
    router_.Close();
    thread_->Stop();
  }

  // Nothing if all went well.
  std::string Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      const std::string did = Step();
      Quiet();
      if (std::string wrong = Compare(); !wrong.empty()) return absl::StrCat("after ", did, ": ", wrong);
    }
    OnLedger([this](Ledger&) { store_.FailNextCommits(CommitFault::kNone); });
    router_.Close();  // nobody waits any more
    Quiet();
    Reap();
    Quiet();
    if (std::string wrong = Compare(); !wrong.empty()) return absl::StrCat("at the end: ", wrong);
    return router_.Report().open_requests == 0 ? "" : "reservations are left";
  }

 private:
  static v1::GroupInfo Group(uint64_t epoch) {
    return TestGroupInfo("g0", epoch, /*kv_blocks=*/60, /*context=*/960);
  }
  int Draw(int low, int high) {
    return low + static_cast<int>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  RequestId Any() {
    if (ids_.empty() || Draw(0, 3) == 0) ids_.push_back(RequestId::Random());
    return ids_[static_cast<size_t>(Draw(0, static_cast<int>(ids_.size()) - 1))];
  }

  std::string Step() {
    const RequestId id = Any();
    switch (Draw(0, 10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        for (int copies = Draw(1, 2); copies > 0; --copies) Admit(id);
        return "Admit";
      case 4:
        Readmit(id);
        return "Readmit";
      case 5:
        Progress(id);
        return "Progress";
      case 6:
      case 7:
        Settle(id);
        return "Settle";
      case 8:
        return Fail();
      case 9:
        return RestartGroup();
      default:
        if (Draw(0, 1) == 0) Reap();
        return "Reap";
    }
  }
  // It goes, or comes back: those who are placed meanwhile wait.
  std::string RestartGroup() {
    group_is_up_ = !group_is_up_;
    if (group_is_up_) {
      EXPECT_TRUE(router_.Register(Group(epoch_)).ok());
      return "a group's start";
    }
    router_.Fence("g0", ++epoch_);
    return "a group's end";
  }
  std::string Fail() {
    const CommitFault fault = Draw(0, 1) == 0 ? CommitFault::kDiskFull : CommitFault::kUnknown;
    Notification set;
    EXPECT_TRUE(thread_->Post([&](Ledger&) {
      store_.FailNextCommit(fault);
      set.Notify();
    }));
    set.WaitForNotification();
    return "a fault";
  }
  void Admit(const RequestId& id) {
    v1::AdmitRequest request;
    request.set_request_id(id.ToBytes());
    request.set_key_id("key");
    request.set_model("tiny");
    request.set_choices(1);
    request.set_prompt_tokens(static_cast<uint64_t>(Draw(1, 200)));
    request.set_max_tokens(300);
    request.set_max_wait_ms(Draw(0, 1) == 0 ? 0 : 60'000);
    const auto placed = std::make_shared<std::atomic<bool>>(false);
    const uint64_t ticket = admission_->Admit(request, [this, placed](const auto&, bool last) {
      if (!last) {
        *placed = true;
        ++holds_to_take_;
      } else if (*placed) {
        --holds_to_take_;
      }
    });
    if (Draw(0, 3) == 0) admission_->GiveUp(id, ticket);
  }
  void Readmit(const RequestId& id) {
    v1::ReadmitRequest request;
    request.set_request_id(id.ToBytes());
    request.set_model("tiny");
    request.set_tokens_so_far(static_cast<uint64_t>(Draw(1, 200)));
    request.set_max_tokens(300);
    request.set_max_wait_ms(Draw(0, 1) == 0 ? 0 : 60'000);
    admission_->Readmit(request, [](const auto&) {});
  }
  void Progress(const RequestId& id) {
    v1::ProgressRequest request;
    request.add_requests()->set_request_id(id.ToBytes());
    request.mutable_requests(0)->set_want_positions(static_cast<uint64_t>(Draw(0, 300)));
    request.mutable_requests(0)->set_group_id("g0");
    request.mutable_requests(0)->set_group_epoch(epoch_);
    admission_->Progress(request, [](auto) {});
  }
  void Settle(const RequestId& id) {
    v1::SettleRequest request;
    request.add_requests()->set_request_id(id.ToBytes());
    request.mutable_requests(0)->set_reason(v1::SETTLE_CLIENT_GONE);
    admission_->Settle(request, [](auto) {});
  }
  void Reap() {
    for (int64_t pass = 0; pass < kReapPasses; ++pass) {
      OnLedger([&](Ledger& ledger) { ledger.AdvanceReaper((reaper_s_ += kReapPassS) * 1'000'000); });
    }
  }
  void OnLedger(std::function<void(Ledger&)> act) {
    Notification done;
    EXPECT_TRUE(thread_->Post([&](Ledger& ledger) {
      act(ledger);
      ledger.GetFacts([&](auto) { done.Notify(); });
    }));
    done.WaitForNotification();
  }
  // Until everything that was posted is committed, and loaded if it failed: a commit of each may place
  // others. The group beats, or it would be silent from the first step on, and nothing placed any more.
  void Quiet() {
    for (int i = 0; i < 3 || holds_to_take_ > 0; ++i) {
      clock_.AdvanceUs(LedgerThread::kLastRetryUs);
      v1::HeartbeatRequest beat;
      beat.set_group_id("g0");
      beat.set_epoch(epoch_);
      beat.set_healthy(true);
      EXPECT_EQ(router_.Beat(beat), group_is_up_);
      OnLedger([](Ledger&) {});
    }
  }
  // The two sides' open requests.
  std::string Compare() {
    std::string wrong;
    OnLedger([&](Ledger&) {
      std::set<RequestId> open;
      for (const auto& [id, row] : store_.requests()) {
        if (row.state == RequestState::kOpen) open.insert(id);
      }
      for (const RequestId& id : ids_) {
        if (open.contains(id) == router_.IsOpen(id)) continue;
        wrong = absl::StrCat("the ledger has a request ", open.contains(id) ? "open" : "closed",
                             ", the router does not");
      }
      if (router_.Report().open_requests != open.size()) wrong = "the router has others";
    });
    return wrong;
  }

  std::mt19937_64 random_;
  std::vector<RequestId> ids_;
  int64_t reaper_s_ = 0;
  uint64_t epoch_ = 1;
  bool group_is_up_ = true;
  std::atomic<int> holds_to_take_{0};  // placed, and the ledger has not answered
  ManualClock clock_;
  Metrics metrics_;
  MemoryStore store_;
  SlowFacts facts_{"", "pepper"};
  Router router_{Router::Config(), clock_};
  Ledger ledger_{&store_, [this] {
                   LedgerOptions options;
                   options.on_news = [this](const LedgerBatch& news) { TellNews(news, router_, facts_); };
                   return options;
                 }()};
  std::unique_ptr<LedgerThread> thread_;
  std::unique_ptr<Admission> admission_;
};

std::string RunSeed(uint64_t seed) {
  SCOPED_TRACE(absl::StrCat("QUIRE_SEED=", seed));
  return AdmissionWorld(seed).Run(/*steps=*/150);
}

TEST(AdmissionSimulation, APlantedBugIsFound) {
  if (std::getenv("QUIRE_PLANTED_BUG") == nullptr) GTEST_SKIP() << "none is planted";
  EXPECT_FALSE(Seeds("", "$0", RunSeed).Hold(1, 3000)) << "nothing was found";
}

TEST(AdmissionSimulation, TheRouterHasReservedWhatTheLedgerHasOpen) {
  EXPECT_TRUE(SeedsHold("tests/simulation/kept_admission_seeds", 20, RunSeed));
}

}  // namespace
}  // namespace quire::coordinator
