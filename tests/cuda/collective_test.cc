// Ranks that meet in one another's memory, as threads whose kernels run on fibers: sums and gathered rows are
// those of the host's exchange, for any number of ranks and sizes, whoever is late; a lost group's wait ends.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "kernels/cuda/collective/device_communicator.h"
#include "kernels/cuda/collective/staged_communicator.h"
#include "kernels/cuda/collective/trial.h"
#include "tests/cuda/collective_checks.h"
#include "worker/parallel/thread_communicator.h"

namespace quire::kernels::cuda {
namespace {

// So small that most sums take several turns.
constexpr PeerOptions kSmall{.half_bytes = 512, .most_blocks = 3, .ranges_from_bytes = 10'000};

// What a test does on each rank's thread, with its stream and communicator.
using OnRank = std::function<void(Stream& stream, Communicator& communicator)>;

void RunRanks(int ranks, const PeerOptions& options, const OnRank& body) {
  worker::ThreadGroup group(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      Stream stream(static_cast<uint64_t>(rank) * 1000 + 1);
      const auto rendezvous = group.MakeRendezvous(rank);
      const auto communicator = MakeDeviceCommunicator(stream, *rendezvous, options);
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      ASSERT_TRUE((*communicator)->may_be_captured()) << "it is the staged one";
      body(stream, **communicator);
      EXPECT_EQ(stream.Synchronize(), "");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class CollectiveTest : public testing::TestWithParam<int> {
 protected:
  int ranks() const { return GetParam(); }
};

TEST_P(CollectiveTest, SumsAreTheHostsToTheBit) {
  // Both ways of summing: whole parts, and ranges of them.
  constexpr RowsAndColumns kShapes[] = {{1, 4}, {1, 8}, {3, 20}, {1, 2500}, {3, 836}, {2, 64}};
  RunRanks(ranks(), kSmall,
           [&](Stream& stream, Communicator& communicator) { CheckSums(stream, communicator, kShapes); });
}

// Sums of all sizes one after another, in any rank's own time, and the turns of their blocks never meet
// others'.
TEST_P(CollectiveTest, ManySumsInARowWhoeverIsLate) {
  RunRanks(ranks(), kSmall, [&](Stream& stream, Communicator& communicator) {
    std::mt19937_64 same(7), own(static_cast<uint64_t>(communicator.rank()));
    for (int i = 0; i < 30; ++i) {
      const auto columns = static_cast<int64_t>(same() % 200 + 1) * 4;
      std::vector<float> x(static_cast<size_t>(columns));
      for (int64_t j = 0; j < columns; ++j)
        x[j] = static_cast<float>(i + j) * (communicator.rank() == 0 ? 1 : 2);
      for (uint64_t spins = own() % 4; spins > 0; --spins) std::this_thread::yield();
      ASSERT_TRUE(communicator.AllReduceSum({x.data(), DType::kF32, 1, columns, columns}).ok());
      ASSERT_EQ(stream.Synchronize(), "");
      for (int64_t j = 0; j < columns; ++j) {
        ASSERT_EQ(x[j], static_cast<float>((i + j) * (2 * ranks() - 1))) << i << " at " << j;
      }
    }
  });
}

TEST_P(CollectiveTest, RankZeroGetsEverybodysColumns) {
  constexpr int64_t kRows[] = {1, 3};
  RunRanks(ranks(), kSmall,
           [&](Stream& stream, Communicator& communicator) { CheckColumns(stream, communicator, kRows); });
}

// Some of them in several turns, between sums.
TEST_P(CollectiveTest, EverybodyGetsRankZerosWords) {
  constexpr int64_t kCounts[] = {1, 5, 128, 300, 64};
  constexpr RowsAndColumns kSum[] = {{1, 600}};
  RunRanks(ranks(), kSmall, [&](Stream& stream, Communicator& communicator) {
    ASSERT_TRUE(communicator.runs_ahead());
    CheckBroadcasts(stream, communicator, kCounts);
    CheckSums(stream, communicator, kSum);
    CheckBroadcasts(stream, communicator, kCounts);
  });
}

TEST_P(CollectiveTest, ALostGroupsWaitEnds) {
  RunRanks(ranks(), kSmall, [&](Stream& stream, Communicator& communicator) {
    std::vector<float> x(512, 1.0f);
    std::jthread stops;
    if (communicator.rank() == 0) return;  // it never comes
    stops = std::jthread([&] { communicator.Stop(); });
    ASSERT_TRUE(communicator.AllReduceSum({x.data(), DType::kF32, 1, 512, 512}).ok());
    EXPECT_EQ(stream.Synchronize(), "");
    stops.join();
    EXPECT_TRUE(absl::IsUnavailable(communicator.Check())) << "what is there is nonsense";
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, CollectiveTest, testing::Values(2, 3, 4, 8));

// Does as the host's does, but for what a test says.
class OddCommunicator final : public Communicator {
 public:
  OddCommunicator(std::unique_ptr<Communicator> host, bool waits, bool lies, bool gathers_nothing)
      : host_(std::move(host)), waits_(waits), lies_(lies), gathers_nothing_(gathers_nothing) {}
  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  absl::Status AllReduceSum(Tensor x) override {
    if (waits_) stopped_.wait(false);
    const absl::Status status = host_->AllReduceSum(x);
    if (lies_) *x.f32(x.rows - 1) += 1;
    return status;
  }
  absl::Status Gather(const ByteSpans& mine, std::span<const ByteSpans> into) override {
    return host_->Gather(mine, into);
  }
  absl::Status GatherColumns(Tensor x, std::span<const int64_t> columns) override {
    return gathers_nothing_ ? absl::OkStatus() : host_->GatherColumns(x, columns);
  }
  void Stop() override {
    stopped_ = true;
    stopped_.notify_all();
  }

 private:
  const std::unique_ptr<Communicator> host_;
  const bool waits_, lies_, gathers_nothing_;
  std::atomic<bool> stopped_ = false;
};

// What rank 0 says of one of two.
std::string Tried(bool waits, bool lies, bool gathers_nothing) {
  worker::ThreadGroup group(2);
  std::string said;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      Stream stream;
      OddCommunicator odd(group.MakeCommunicator(rank), waits, lies, gathers_nothing);
      StagedCommunicator host(stream, group.MakeCommunicator(rank));
      const TrialOptions options{.many_bytes = 20'000, .limit_us = waits ? 1000 : 100'000'000};
      const absl::StatusOr<std::string> why = WhyNotAsTheHost(stream, odd, host, options);
      ASSERT_TRUE(why.ok()) << why.status();
      if (rank == 0) said = *why;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return said;
}

TEST(Collective, ATrialShowsWhatIsWrong) {
  EXPECT_EQ(Tried(false, false, false), "");
  EXPECT_EQ(Tried(false, true, false), "what it computes is not what the host's exchange does");
  EXPECT_EQ(Tried(false, false, true), "what it computes is not what the host's exchange does");
  EXPECT_EQ(Tried(true, false, false), "it waited in vain for another rank");
}

TEST(Collective, RanksApartGoThroughTheHost) {
  constexpr int kRanks = 3;
  worker::ThreadGroup group(kRanks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank) {
    threads.emplace_back([&, rank] {
      Stream stream;
      PeerOptions options;
      options.apart = rank == 1;  // one is enough
      const auto communicator = MakeDeviceCommunicator(stream, *group.MakeRendezvous(rank), options);
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      EXPECT_FALSE((*communicator)->may_be_captured());
      EXPECT_FALSE((*communicator)->runs_ahead());
      std::vector<float> x(8, static_cast<float>(rank));
      ASSERT_TRUE((*communicator)->AllReduceSum({x.data(), DType::kF32, 2, 4, 4}).ok());
      for (const float sum : x) EXPECT_EQ(sum, kRanks * (kRanks - 1) / 2);
      float row[7] = {static_cast<float>(rank), 10, 20, -1, -1, -1, -1};
      const std::vector<int64_t> columns{3, 1, 2};
      const Tensor mine{row, DType::kF32, 1, columns[rank], 7};
      ASSERT_TRUE((*communicator)->GatherColumns(mine, columns).ok());
      if (rank == 0) {
        EXPECT_THAT(row, testing::ElementsAre(0, 10, 20, 1, 2, 10, -1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Collective, MoreRanksThanMeetGoThroughTheHost) {
  constexpr int kRanks = kMaxPeers + 1;
  worker::ThreadGroup group(kRanks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank) {
    threads.emplace_back([&, rank] {
      Stream stream;
      const auto communicator = MakeDeviceCommunicator(stream, *group.MakeRendezvous(rank));
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      EXPECT_FALSE((*communicator)->may_be_captured());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace quire::kernels::cuda
