#include "worker/gpu_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quire::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kGpuGiB = int64_t{1} << 30;

std::vector<kernels::DeviceChoice> Gpus(const std::vector<int64_t>& gib) {
  std::vector<kernels::DeviceChoice> gpus;
  for (const int64_t size : gib) {
    kernels::DeviceChoice gpu;
    gpu.name = "cuda";
    gpu.index = static_cast<int>(gpus.size());
    gpu.id = absl::StrCat("GPU-", gpu.index);
    gpu.product = "a GPU";
    gpu.architecture = "sm90";
    gpu.memory_bytes = size * kGpuGiB;
    if (size == 0) gpu.why_not = "it does not answer";
    gpus.push_back(gpu);
  }
  return gpus;
}

// A model of 60 GiB, shared by the ranks, and a host that holds so many groups.
GpuFits Fits(int64_t most_groups = 100) {
  return [most_groups](int64_t ranks, int64_t groups, const kernels::DeviceChoice& gpu) -> absl::Status {
    if (groups > most_groups) return absl::FailedPreconditionError("of the host's memory");
    if (gpu.memory_bytes * ranks >= 60 * kGpuGiB) return absl::OkStatus();
    return absl::FailedPreconditionError("the weights need more");
  };
}

GpuGroups Chosen(const std::vector<kernels::DeviceChoice>& gpus, const GpuWish& wish = {},
                 const GpuFits& fits = Fits()) {
  const absl::StatusOr<GpuGroups> chosen = ChooseGpuGroups(gpus, wish, fits);
  EXPECT_TRUE(chosen.ok()) << chosen.status();
  return chosen.value_or(GpuGroups());
}

std::string Left(const GpuGroups& chosen) { return absl::StrJoin(chosen.left, "; "); }

TEST(GpuGroups, AsFewRanksAsHoldTheModelAndGroupsOnTheRest) {
  EXPECT_THAT(Chosen(Gpus({80})).groups, ElementsAre(ElementsAre(0)));
  EXPECT_THAT(Chosen(Gpus({80, 80, 80})).groups, ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(2)));
  const GpuGroups twos = Chosen(Gpus({40, 40, 40, 40, 40, 40, 40, 40}));
  EXPECT_EQ(twos.ranks, 2);
  EXPECT_THAT(twos.groups,
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4, 5), ElementsAre(6, 7)));
  EXPECT_THAT(twos.left, IsEmpty());
  EXPECT_THAT(Chosen(Gpus({16, 16, 16, 16})).groups, ElementsAre(ElementsAre(0, 1, 2, 3)));
}

TEST(GpuGroups, WhatIsLeftOverIsSaid) {
  const GpuGroups chosen = Chosen(Gpus({40, 40, 40}));
  EXPECT_THAT(chosen.groups, ElementsAre(ElementsAre(0, 1)));
  EXPECT_EQ(Left(chosen), "left over from 1 group(s) of 2 rank(s): number 2 (GPU-2)");
  GpuWish one;
  one.groups = 1;
  EXPECT_EQ(Left(Chosen(Gpus({80, 80}), one)), "left over from 1 group(s) of 1 rank(s): number 1 (GPU-1)");
}

TEST(GpuGroups, RanksAndGroupsAreAsAsked) {
  GpuWish wish;
  wish.ranks = 3;
  EXPECT_THAT(Chosen(Gpus(std::vector<int64_t>(8, 80)), wish).groups,
              ElementsAre(ElementsAre(0, 1, 2), ElementsAre(3, 4, 5)));
  wish.groups = 1;
  EXPECT_THAT(Chosen(Gpus(std::vector<int64_t>(8, 80)), wish).groups, ElementsAre(ElementsAre(0, 1, 2)));
  wish.ranks = 0;
  wish.groups = 3;
  EXPECT_THAT(Chosen(Gpus(std::vector<int64_t>(8, 40)), wish).groups,
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4, 5)));
}

TEST(GpuGroups, TooFewAreSaid) {
  const auto why = [](const std::vector<int64_t>& gib, GpuWish wish) {
    const absl::Status failed = ChooseGpuGroups(Gpus(gib), wish, Fits()).status();
    EXPECT_TRUE(absl::IsUnavailable(failed)) << failed;
    return std::string(failed.message());
  };
  EXPECT_EQ(why({}, {}), "there is no GPU");
  EXPECT_EQ(why({0, 0}, {}), "it does not answer");
  EXPECT_THAT(
      why({80, 80, 0}, {.ranks = 3}),
      HasSubstr("and there are 2: give --tensor-parallel 2; number 2 (GPU-2) can't be used: it does not"));
  EXPECT_THAT(why({40, 40, 40, 40, 40}, {.groups = 3}), HasSubstr("3 groups of 2 rank(s) take 6 GPUs"));
  EXPECT_THAT(why({40, 40, 40, 40, 40}, {.groups = 3}), HasSubstr("enough for 2: give --groups 2"));
  EXPECT_THAT(why({80, 0, 8}, {.groups = 2}),
              HasSubstr("give --groups 1; number 1 (GPU-1) can't be used: it does not answer; "
                        "number 2 (GPU-2) holds no rank of 1: the weights need more"));
}

TEST(GpuGroups, AModelThatNoneHoldsIsTheErrorOfItsMemory) {
  for (const auto& gib : {std::vector<int64_t>{40}, {7, 7, 7, 7, 7, 7, 7, 7}, {20, 20}}) {
    const absl::Status failed = ChooseGpuGroups(Gpus(gib), {}, Fits()).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(failed)) << failed;
    EXPECT_THAT(std::string(failed.message()), HasSubstr("the weights need more"));
  }
  // Nor is it split further than it can be.
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ChooseGpuGroups(Gpus({20, 20, 20, 20}), {.most_ranks = 2}, Fits()).status()));
}

TEST(GpuGroups, GroupsAreOfEqualGpusWhereThatCanBe) {
  EXPECT_THAT(Chosen(Gpus({40, 48, 40, 48})).groups, ElementsAre(ElementsAre(0, 2), ElementsAre(1, 3)));
  // Of what is left of two kinds.
  EXPECT_THAT(Chosen(Gpus({40, 40, 40, 48, 48, 48})).groups,
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 5), ElementsAre(3, 4)));
  EXPECT_THAT(Chosen(Gpus({40, 48})).groups, ElementsAre(ElementsAre(0, 1)));
}

// Their sums have another order.
TEST(GpuGroups, NoGroupIsOfTwoArchitectures) {
  std::vector<kernels::DeviceChoice> gpus = Gpus({40, 40, 40});
  gpus[1].architecture = "sm80";
  const GpuGroups chosen = Chosen(gpus);
  EXPECT_THAT(chosen.groups, ElementsAre(ElementsAre(0, 2)));
  EXPECT_THAT(Left(chosen), HasSubstr("number 1 (GPU-1)"));
  gpus.pop_back();
  const absl::Status failed = ChooseGpuGroups(gpus, {}, Fits()).status();
  EXPECT_THAT(std::string(failed.message()), HasSubstr("of one architecture"));
  // That a third one is too small is not the cause.
  gpus.push_back(Gpus({40, 40, 8}).back());
  const absl::Status two = ChooseGpuGroups(gpus, {.ranks = 2}, Fits()).status();
  EXPECT_TRUE(absl::IsUnavailable(two)) << two;
  EXPECT_THAT(std::string(two.message()), HasSubstr("of one architecture"));
}

TEST(GpuGroups, OneThatIsTooSmallOrDoesNotAnswerIsLeftOut) {
  const GpuGroups chosen = Chosen(Gpus({40, 8, 40, 0, 40, 40}));
  EXPECT_THAT(chosen.groups, ElementsAre(ElementsAre(0, 2), ElementsAre(4, 5)));
  EXPECT_THAT(chosen.left, ElementsAre("number 3 (GPU-3) can't be used: it does not answer",
                                       "number 1 (GPU-1) holds no rank of 2: the weights need more"));
}

// As CUDA_VISIBLE_DEVICES and --gpus leave them: numbers and places differ.
TEST(GpuGroups, GroupsAreOfThoseThatAreGiven) {
  std::vector<kernels::DeviceChoice> gpus = Gpus({40, 40, 40, 40, 40, 40});
  gpus.erase(gpus.begin(), gpus.begin() + 3);
  const GpuGroups chosen = Chosen(gpus);
  EXPECT_THAT(chosen.groups, ElementsAre(ElementsAre(0, 1)));
  EXPECT_THAT(Left(chosen), HasSubstr("number 5 (GPU-5)"));
}

TEST(GpuGroups, NoMoreGroupsThanTheHostHolds) {
  const GpuGroups chosen = Chosen(Gpus({80, 80, 80}), {}, Fits(2));
  EXPECT_THAT(chosen.groups, ElementsAre(ElementsAre(0), ElementsAre(1)));
  EXPECT_THAT(Left(chosen), HasSubstr("of 3 groups the host's memory holds 2: of the host's memory"));
  EXPECT_THAT(Left(chosen), HasSubstr("number 2 (GPU-2)"));
  GpuWish asked;
  asked.groups = 3;
  EXPECT_TRUE(absl::IsFailedPrecondition(ChooseGpuGroups(Gpus({80, 80, 80}), asked, Fits(2)).status()));
}

}  // namespace
}  // namespace quire::worker
