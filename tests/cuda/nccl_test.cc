// Ranks that exchange through NCCL, a false one, as threads whose kernels run on fibers: sums and gathered
// rows are those of the host's exchange, for any number of ranks and sizes; whatever breaks, and whenever,
// ends in words or in Stop's end, and NCCL is never called as NVIDIA's guide forbids.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <vector>

#include "kernels/backend_factory.h"
#include "kernels/cuda/collective/device_communicator.h"
#include "kernels/cuda/collective/staged_communicator.h"
#include "tests/cuda/collective_checks.h"
#include "tests/cuda/fake_nccl.h"
#include "worker/model/idle_backend.h"
#include "worker/parallel/thread_communicator.h"

namespace quire::kernels::cuda {
namespace {

using testing::HasSubstr;

constexpr int64_t kLong = 600'000, kShort = 300;  // ms

void ForEachRank(int ranks, const std::function<void(Stream& stream, Rendezvous& rendezvous)>& body) {
  worker::ThreadGroup group(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      Stream stream(static_cast<uint64_t>(rank) * 1000 + 1);
      body(stream, *group.MakeRendezvous(rank));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

constexpr int64_t kPartWords = 160;  // of four floats: so few that most sums take several turns

NcclOptions Options(FakeNccl& nccl, const Rendezvous& rendezvous, int64_t limit_ms = kLong) {
  return {.open = [&nccl, rank = rendezvous.rank()] { return nccl.Of(rank); },
          .scratch_bytes = rendezvous.size() * kPartWords * 16,
          .ranges_from_bytes = 10'000,
          .limit_ms = limit_ms,
          .trial_limit_ms = limit_ms};
}

std::unique_ptr<NcclCommunicator> Made(FakeNccl& nccl, Stream& stream, Rendezvous& rendezvous,
                                       int64_t limit_ms = kLong) {
  std::string why;
  auto made = NcclCommunicator::Make(stream, rendezvous, Options(nccl, rendezvous, limit_ms), why);
  EXPECT_TRUE(made.ok() && *made != nullptr) << made.status() << why;
  return *std::move(made);
}

absl::Status Sum(Communicator& communicator, std::vector<float>& x) {
  const auto columns = std::ssize(x);
  return communicator.AllReduceSum({x.data(), DType::kF32, 1, columns, columns});
}

class NcclTest : public testing::TestWithParam<int> {
 protected:
  ~NcclTest() override {
    EXPECT_THAT(nccl_.misuses(), testing::IsEmpty());
    EXPECT_TRUE(nccl_.all_aborted());
  }
  void RunRanks(const std::function<void(Stream& stream, Communicator& communicator)>& body) {
    ForEachRank(GetParam(), [&](Stream& stream, Rendezvous& rendezvous) {
      const auto communicator = Made(nccl_, stream, rendezvous);
      body(stream, *communicator);
      EXPECT_EQ(stream.Synchronize(), "");
      EXPECT_TRUE(communicator->Check().ok());
    });
  }

  FakeNccl nccl_{GetParam()};
};

TEST_P(NcclTest, SumsAreTheHostsToTheBit) {
  // The third leaves a range, and the range one word. On fibers kernels are dear to a sanitizer.
  constexpr RowsAndColumns kShapes[] = {{1, 4}, {3, 20}, {1, 2500}, {2, 64}};
  RunRanks([&](Stream& stream, Communicator& communicator) { CheckSums(stream, communicator, kShapes); });
}

TEST_P(NcclTest, LargeSumsAreByRanges) {
  RunRanks([&](Stream& stream, Communicator& communicator) {
    const int64_t ranks = communicator.size(), before = nccl_.groups(communicator.rank());
    std::vector<float> x(static_cast<size_t>(2 * ranks * kPartWords * 4));
    ASSERT_TRUE(Sum(communicator, x).ok());
    ASSERT_EQ(stream.Synchronize(), "");  // before x goes
    // Two turns of a range of each rank, both of two exchanges; or a turn for each part.
    EXPECT_EQ(nccl_.groups(communicator.rank()) - before, ranks > 2 ? 2 * 2 : 2 * ranks);
  });
}

TEST_P(NcclTest, RankZeroGetsEverybodysColumns) {
  const int64_t rows[] = {1, 3, 512 / GetParam() + 5};  // the last in two groups
  RunRanks([&](Stream& stream, Communicator& communicator) { CheckColumns(stream, communicator, rows); });
}

TEST_P(NcclTest, EverybodyGetsRankZerosWords) {
  constexpr int64_t kCounts[] = {1, 7, 300};
  RunRanks([&](Stream& stream, Communicator& communicator) {
    ASSERT_TRUE(communicator.runs_ahead());
    CheckBroadcasts(stream, communicator, kCounts);
  });
}

TEST_P(NcclTest, ACapturedSumIsRunAgain) {
  RunRanks([&](Stream& stream, Communicator& communicator) {
    std::vector<float> x(1000);
    const Graph graph(stream, [&](Stream&) { ASSERT_TRUE(Sum(communicator, x).ok()); });
    ASSERT_EQ(graph.error(), "");
    for (const uint64_t turn : {1, 2}) {
      const Parts parts(communicator.size(), turn, x.size());
      x = parts.of[communicator.rank()];
      graph.Launch(stream);
      ASSERT_EQ(stream.Synchronize(), "");
      EXPECT_EQ(std::memcmp(x.data(), parts.sum.data(), x.size() * sizeof(float)), 0);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, NcclTest, testing::Values(2, 3, 4, 8, 9, 16));

// An abort waits for them, so that who destroys the communicator before its graphs hangs (nccl_life.h).
TEST(NcclGraphs, AGraphThatOutlivesTheCommunicatorIsNoted) {
  FakeNccl nccl(1);
  ForEachRank(1, [&](Stream& stream, Rendezvous& rendezvous) {
    std::vector<float> x(16);
    auto communicator = Made(nccl, stream, rendezvous);
    const Graph graph(stream, [&](Stream&) { ASSERT_TRUE(Sum(*communicator, x).ok()); });
    communicator.reset();
    EXPECT_THAT(nccl.misuses(), testing::ElementsAre("rank 0 is aborted while a graph holds its calls"));
  });
}

// Which is why a rank's device is destroyed in this order.
TEST(NcclGraphs, ADevicesBackendGoesBeforeItsCommunicator) {
  std::vector<std::string> gone;
  struct Idle final : worker::IdleBackend {
    explicit Idle(std::vector<std::string>& where) : gone(where) {}
    ~Idle() override { gone.push_back("backend"); }
    std::vector<std::string>& gone;
  };
  struct Alone final : Communicator {
    explicit Alone(std::vector<std::string>& where) : gone(where) {}
    ~Alone() override { gone.push_back("communicator"); }
    int rank() const override { return 0; }
    int size() const override { return 1; }
    absl::Status AllReduceSum(Tensor) override { return absl::OkStatus(); }
    absl::Status Gather(const ByteSpans&, std::span<const ByteSpans>) override { return absl::OkStatus(); }
    std::vector<std::string>& gone;
  };
  {
    Device device;
    device.backend = std::make_unique<Idle>(gone);
    device.communicator = std::make_unique<Alone>(gone);
  }
  EXPECT_THAT(gone, testing::ElementsAre("backend", "communicator"));
}

// ---- what breaks before ranks have one another ----

struct BreaksAtTheStart {
  NcclFault fault;
  int rank;
  const char* words;
  bool before_ids = false;
};

class NcclStartTest : public testing::TestWithParam<BreaksAtTheStart> {};

TEST_P(NcclStartTest, AllRanksHearWhy) {
  const auto [fault, rank, words, before_ids] = GetParam();
  FakeNccl nccl(3);
  nccl.Break(rank, fault);
  ForEachRank(3, [&nccl, rank = rank, words = words](Stream& stream, Rendezvous& rendezvous) {
    std::string why;
    const auto made = NcclCommunicator::Make(stream, rendezvous, Options(nccl, rendezvous, kShort), why);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(*made, nullptr);
    EXPECT_THAT(why, HasSubstr("rank " + std::to_string(rank)));
    EXPECT_THAT(why, HasSubstr(words));
  });
  EXPECT_THAT(nccl.misuses(), testing::IsEmpty());
  EXPECT_TRUE(nccl.all_aborted());
  EXPECT_EQ(nccl.ids_made(), before_ids ? 0 : 1);  // who makes one waits for all ranks, for ever
}

INSTANTIATE_TEST_SUITE_P(
    Faults, NcclStartTest,
    testing::Values(
        BreaksAtTheStart{NcclFault::kNoLibrary, 2, "no libnccl.so.2", true},
        BreaksAtTheStart{NcclFault::kOld, 1, "NCCL 2.18.3 is too old: install 2.23.4 or later", true},
        BreaksAtTheStart{NcclFault::kOtherVersion, 1, "has another NCCL (2.30.7) than rank 0 (2.28.9)", true},
        BreaksAtTheStart{NcclFault::kBlocking, 1, "NCCL_COMM_BLOCKING=1 would have NCCL's calls wait", true},
        BreaksAtTheStart{NcclFault::kNoId, 0, "makes no id: a rank is gone"},
        BreaksAtTheStart{NcclFault::kInitFails, 1, "joining the ranks: a rank is gone"},
        BreaksAtTheStart{NcclFault::kInitBreaks, 2, "joining the ranks: a rank is gone"},
        BreaksAtTheStart{NcclFault::kInitHangs, 0, "not done joining the ranks after 300 ms"}));

// ---- which communicator ranks get ----

absl::StatusOr<std::unique_ptr<Communicator>> Chosen(FakeNccl& nccl, Stream& stream, Rendezvous& rendezvous,
                                                     int64_t limit_ms) {
  PeerOptions apart;
  apart.apart = true;
  return MakeDeviceCommunicator(stream, rendezvous, apart, Options(nccl, rendezvous, limit_ms));
}

TEST(NcclChoice, RanksApartGoThroughNccl) {
  FakeNccl nccl(3);
  ForEachRank(3, [&](Stream& stream, Rendezvous& rendezvous) {
    const auto communicator = Chosen(nccl, stream, rendezvous, kLong);
    ASSERT_TRUE(communicator.ok()) << communicator.status();
    EXPECT_FALSE((*communicator)->may_be_captured());
    constexpr RowsAndColumns kShape[] = {{3, 836}};
    CheckSums(stream, **communicator, kShape);
  });
  EXPECT_THAT(nccl.misuses(), testing::IsEmpty());
  EXPECT_GT(nccl.groups(0), 0);
}

TEST(NcclChoice, RanksThatReachOneAnotherNeverAskForIt) {
  FakeNccl nccl(2);
  ForEachRank(2, [&](Stream& stream, Rendezvous& rendezvous) {
    NcclOptions options;
    options.open = [] {
      ADD_FAILURE() << "it is 200 MB";
      return NcclCalls();
    };
    EXPECT_TRUE(MakeDeviceCommunicator(stream, rendezvous, {}, options).ok());
  });
}

class NcclTrialTest : public testing::TestWithParam<NcclFault> {};

TEST_P(NcclTrialTest, WhatBreaksOnOneRankSendsAllThroughTheHost) {
  constexpr int kRanks = 3;
  FakeNccl nccl(kRanks);
  const int64_t limit_ms = GetParam() == NcclFault::kMovesWrong ? kLong : kShort;  // where something hangs
  nccl.Break(1, GetParam());
  nccl.ExpectStops();
  ForEachRank(kRanks, [&](Stream& stream, Rendezvous& rendezvous) {
    const auto communicator = Chosen(nccl, stream, rendezvous, limit_ms);
    ASSERT_TRUE(communicator.ok()) << communicator.status();
    EXPECT_NE(dynamic_cast<StagedCommunicator*>(communicator->get()), nullptr);
    constexpr RowsAndColumns kShape[] = {{3, 836}};
    CheckSums(stream, **communicator, kShape);
  });
  EXPECT_THAT(nccl.misuses(), testing::IsEmpty());
  EXPECT_TRUE(nccl.all_aborted());
}

INSTANTIATE_TEST_SUITE_P(Faults, NcclTrialTest,
                         testing::Values(NcclFault::kNoLibrary, NcclFault::kInitFails, NcclFault::kCallFails,
                                         NcclFault::kCallHangs, NcclFault::kDrops, NcclFault::kBreaks,
                                         NcclFault::kMovesWrong));

// ---- what breaks while a group serves ----

struct BreaksLater {
  NcclFault fault;
  const char* words;  // of the rank where it breaks
  int64_t limit_ms = kLong;
  bool is_stopped = false;  // that rank, too: it does not find out
  bool diverges = false;
};

class NcclFaultTest : public testing::TestWithParam<BreaksLater> {
 protected:
  static constexpr int kRanks = 3, kBroken = 1;

  void RunRank(Stream& stream, Rendezvous& rendezvous) {
    const auto [fault, words, limit_ms, is_stopped, diverges] = GetParam();
    const bool broken = rendezvous.rank() == kBroken;
    auto communicator = Made(nccl_, stream, rendezvous, limit_ms);
    absl::Status told;  // before the abort
    bool was_aborted = false;
    communicator->WhenLost([&](const absl::Status& why) {
      told = why;
      was_aborted = nccl_.is_aborted(kBroken);
    });
    ASSERT_TRUE(rendezvous.AllGather("").ok());
    if (broken) nccl_.Break(kBroken, fault);
    // As the loss of a group, or a step that takes too long, does.
    std::jthread stops([&, self = is_stopped] {
      if (broken && !self) return;
      self ? nccl_.AwaitGroup(communicator->rank()) : found_.WaitForNotification();
      nccl_.ExpectStops();
      communicator->Stop();
    });
    std::vector<float> x(broken && diverges ? 256 : 512, 1.0f);
    (void)Sum(*communicator, x);
    EXPECT_EQ(stream.Synchronize(), "");
    if (broken) found_.Notify();
    stops.join();
    const absl::Status lost = communicator->Check();
    EXPECT_TRUE(absl::IsUnavailable(lost)) << lost;
    EXPECT_THAT(std::string(lost.message()), HasSubstr(broken ? words : "was stopped"));
    EXPECT_EQ(Sum(*communicator, x), lost);
    const std::vector<int64_t> columns(kRanks, 4);
    EXPECT_EQ(communicator->GatherColumns({x.data(), DType::kF32, 1, 4, 12}, columns), lost);
    communicator.reset();
    EXPECT_EQ(told, broken && !is_stopped ? lost : absl::OkStatus());
    EXPECT_FALSE(was_aborted);
  }

  FakeNccl nccl_{kRanks};
  Notification found_;
};

TEST_P(NcclFaultTest, EndsInWordsOrInStopsEnd) {
  ForEachRank(kRanks, [this](Stream& stream, Rendezvous& rendezvous) { RunRank(stream, rendezvous); });
  EXPECT_THAT(nccl_.misuses(), testing::IsEmpty());
  EXPECT_TRUE(nccl_.all_aborted());
}

INSTANTIATE_TEST_SUITE_P(Faults, NcclFaultTest,
                         testing::Values(BreaksLater{NcclFault::kCallFails, "taking a call: error 4"},
                                         BreaksLater{NcclFault::kBreaks, "exchanging: a rank is gone"},
                                         BreaksLater{NcclFault::kCallHangs,
                                                     "not done taking a call after 2000 ms", 2000},
                                         BreaksLater{NcclFault::kCallHangs, "was stopped", kLong, true},
                                         BreaksLater{NcclFault::kDrops, "was stopped", kLong, true},
                                         BreaksLater{NcclFault::kNone, "was stopped", kLong, true, true}));

}  // namespace
}  // namespace quire::kernels::cuda
