// Ranks as threads exchange tensors over all forms of a group and over the thread communicator: one suite for
// all.
#include <gmock/gmock.h>
#include <algorithm>
#include <random>
#include <span>

#include "base/core/status.h"
#include "worker/parallel/rank_sum.h"
#include "worker/parallel/shm_communicator.h"
#include "worker/parallel/test_matrix.h"
#include "worker/parallel/test_ranks.h"
#include "worker/parallel/thread_communicator.h"

namespace quire::worker {
namespace {

using kernels::Tensor;
using ::testing::HasSubstr;

void FillRandom(TestMatrix& matrix, int seed) {
  std::minstd_rand random(seed);
  for (float& value : matrix.values) value = (static_cast<float>(random()) - 0x1p30f) * 0x1p-20f;
}

void CheckAllReduceOf(kernels::Communicator& communicator, int64_t rows, int64_t cols) {
  std::vector<TestMatrix> parts;
  for (int r = 0; r < communicator.size(); ++r) {
    FillRandom(parts.emplace_back(rows, cols), r + 100 * static_cast<int>(cols));
  }
  TestMatrix mine = parts[communicator.rank()];
  mine.tensor.data = mine.values.data();
  ASSERT_TRUE(communicator.AllReduceSum(mine.tensor).ok());
  std::vector<float> sums(cols);
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<const float*> of_ranks;
    for (const TestMatrix& part : parts) of_ranks.push_back(&part.values[row * (cols + 3)]);
    SumRanks(of_ranks, cols, sums.data());
    const std::span<const float> got(mine.tensor.f32(row), cols);
    ASSERT_TRUE(std::equal(got.begin(), got.end(), sums.begin())) << "row " << row;  // bitwise: its order
  }
}

void CheckAllReduce(kernels::Communicator& communicator) {
  for (auto [rows, cols] : {std::pair<int64_t, int64_t>{1, 5}, {3, 576}, {64, 17}, {7, 2048}}) {
    CheckAllReduceOf(communicator, rows, cols);
  }
}

uint8_t GatheredByte(int rank, size_t at) { return static_cast<uint8_t>(at * 7 + at / 251 + 31 * rank); }

// As many bytes of each rank, cut otherwise than where they are to stand.
void CheckGatherOf(kernels::Communicator& communicator, size_t bytes) {
  const int rank = communicator.rank(), size = communicator.size();
  const auto of_rank = [&](int r) { return bytes * static_cast<size_t>(r); };
  std::vector<std::vector<uint8_t>> memory(size);
  kernels::ByteSpans mine;
  std::vector<kernels::ByteSpans> into(rank == 0 ? size : 0);
  for (int r = 1; r < size; ++r) {
    if (rank != 0 && rank != r) continue;
    std::vector<uint8_t>& all = memory[r];
    all.resize(of_rank(r));
    kernels::ByteSpans& spans = rank == 0 ? into[r] : mine;
    const size_t cut = rank == 0 ? all.size() / 3 : all.size() / 2;
    for (const auto& [begin, end] : {std::pair{size_t{0}, cut}, {cut, cut}, {cut, all.size()}}) {
      spans.push_back(std::span(all).subspan(begin, end - begin));
    }
    for (size_t i = 0; i < all.size() && rank != 0; ++i) all[i] = GatheredByte(r, i);
  }
  ASSERT_TRUE(communicator.Gather(mine, into).ok());
  if (rank != 0) return;
  for (int r = 1; r < size; ++r) {
    for (size_t i = 0; i < of_rank(r); ++i) ASSERT_EQ(memory[r][i], GatheredByte(r, i)) << r << " at " << i;
  }
}

void CheckGather(kernels::Communicator& communicator) {
  for (const size_t bytes : {0, 1, 40, 5000, 20'000}) CheckGatherOf(communicator, bytes);
}

class GroupCommunicator : public ::testing::TestWithParam<std::tuple<GroupForm, int>> {};

TEST_P(GroupCommunicator, SumsInTheRanksOrderAndGathers) {
  RunGroup(std::get<0>(GetParam()), std::get<1>(GetParam()), [](RankGroup& group) {
    auto communicator = group.rendezvous->HostCommunicator().value();
    for (int round = 0; round < 20; ++round) {
      CheckAllReduce(*communicator);
      CheckGather(*communicator);
    }
  });
}

// As large as an exchange gets: over TCP the last that goes one way, the first that goes another, and more.
TEST_P(GroupCommunicator, SumsManyBytesInTheRanksOrderToo) {
  for (const int64_t bytes : {64 << 10, (64 << 10) + 4, 1 << 20}) {
    TestRank each{.size = std::get<1>(GetParam())};
    each.buffers.exchange_bytes = bytes;
    RunGroup(std::get<0>(GetParam()), each, [&](RankGroup& group) {
      auto communicator = group.rendezvous->HostCommunicator().value();
      CheckAllReduceOf(*communicator, bytes / (577 * 4) + 3, 577);  // one whole exchange and some more
      CheckGatherOf(*communicator, static_cast<size_t>(bytes / 2 + 1));
    });
  }
}

TEST_P(GroupCommunicator, SaysWhereARankSendsOtherThanIsExpected) {
  if (std::get<1>(GetParam()) == 1) return;
  RunGroup(std::get<0>(GetParam()), std::get<1>(GetParam()), [](RankGroup& group) {
    auto communicator = group.rendezvous->HostCommunicator().value();
    std::vector<uint8_t> some(100);
    if (group.rank() != 0) {
      EXPECT_TRUE(communicator->Gather({std::span(some).first(group.rank())}, {}).ok());
      return;
    }
    std::vector<kernels::ByteSpans> into(group.size());
    for (int r = 1; r < group.size(); ++r) into[r] = {std::span(some).first(r + (r + 1 == group.size()))};
    EXPECT_THAT(MessageOf(communicator->Gather({}, into)),
                HasSubstr(absl::StrCat("rank ", group.size() - 1, " sends")));
  });
}

INSTANTIATE_TEST_SUITE_P(Forms, GroupCommunicator,
                         ::testing::Combine(kAllForms, ::testing::Values(1, 2, 3, 4, 8)),
                         [](const auto& info) {
                           return absl::StrCat(FormName(std::get<0>(info.param)), std::get<1>(info.param));
                         });

class ThreadCommunicators : public ::testing::TestWithParam<int> {};

TEST_P(ThreadCommunicators, ThreadsSumInTheRanksOrderAndGather) {
  ThreadGroup group(GetParam());
  RunRanks(GetParam(), [&](int rank) {
    auto communicator = group.MakeCommunicator(rank);
    CheckAllReduce(*communicator);
    CheckGather(*communicator);
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadCommunicators, ::testing::Values(1, 2, 3, 4, 8));

TEST_P(GroupCommunicator, AGroupOfOneNeedsNoBuffer) {
  if (std::get<1>(GetParam()) != 1) return;
  RunGroup(std::get<0>(GetParam()), {.size = 1, .buffers = {4, 4}}, [](RankGroup& group) {
    auto communicator = group.rendezvous->HostCommunicator().value();
    CheckAllReduce(*communicator);
    CheckGather(*communicator);
  });
}

TEST(ShmCommunicator, ItsBufferHoldsAnyRowAndRefusesALongerOne) {
  // {batch tokens, hidden}: the last is wider than the least buffer.
  for (auto [tokens, hidden] : {std::pair<int64_t, int64_t>{1, 64}, {512, 5120}, {1, 1 << 19}}) {
    const int64_t bytes = ExchangeBytesFor(tokens, hidden);
    TestRank each;
    each.buffers.exchange_bytes = bytes;
    RunGroup(GroupForm::kShm, each, [&, hidden = hidden](RankGroup& group) {
      auto communicator = group.rendezvous->HostCommunicator().value();
      TestMatrix row(1, hidden), longer(1, bytes / 4 + 1);
      EXPECT_TRUE(communicator->AllReduceSum(row.tensor).ok());
      EXPECT_TRUE(absl::IsInvalidArgument(communicator->AllReduceSum(longer.tensor)));
    });
  }
}

TEST(ThreadGroup, AFailedRankEndsTheOthersWaits) {
  ThreadGroup group(3);
  RunRanks(3, [&](int rank) {
    if (rank == 2) return group.Fail();
    TestMatrix matrix(1, 4);
    EXPECT_TRUE(absl::IsUnavailable(group.MakeCommunicator(rank)->AllReduceSum(matrix.tensor)));
  });
}

}  // namespace
}  // namespace quire::worker
