#include "kernels/gpu_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quire::kernels {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<std::string> kFour{"GPU-8932f937-d72c", "GPU-5f000000-0001", "GPU-5f000000-0002", ""};

std::vector<int> Named(const std::string& list) {
  const absl::StatusOr<std::vector<int>> named = NamedGpus(kFour, list);
  EXPECT_TRUE(named.ok()) << named.status();
  return named.value_or(std::vector<int>());
}

std::string WhyNot(const std::string& list) {
  const absl::Status status = NamedGpus(kFour, list).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << list << ": " << status;
  return std::string(status.message());
}

TEST(GpuNames, NoListNamesAll) {
  EXPECT_THAT(Named(""), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(*NamedGpus({}, ""), IsEmpty());
}

TEST(GpuNames, NumbersAndNamesKeepTheirOrder) {
  EXPECT_THAT(Named("2, 0"), ElementsAre(2, 0));
  EXPECT_THAT(Named("GPU-5f000000-0002,GPU-8,1"), ElementsAre(2, 0, 1));
  EXPECT_THAT(Named("3"), ElementsAre(3));  // it does not answer, and may be named all the same
}

// What a group was given and is gone is never another one in its place.
TEST(GpuNames, WhatIsNotThereIsSaid) {
  EXPECT_THAT(WhyNot("4"), HasSubstr("\"4\" is none of the 4 GPUs"));
  EXPECT_THAT(WhyNot("-1"), HasSubstr("CUDA_VISIBLE_DEVICES"));
  EXPECT_THAT(WhyNot("0,GPU-77"), HasSubstr("\"GPU-77\" is not among the GPUs"));
}

TEST(GpuNames, WhatNamesNoGpuIsSaid) {
  for (const char* list : {"all", "0,", ",", "GPU-", "gpu-8932", "1.5", "99999999999", "0;1", "MIG-1"}) {
    EXPECT_THAT(WhyNot(list), HasSubstr("--gpus: ")) << list;
  }
}

TEST(GpuNames, NoneIsNamedTwiceNorCouldBeAnother) {
  EXPECT_THAT(WhyNot("1,0,1"), HasSubstr("\"1\" is named twice"));
  EXPECT_THAT(WhyNot("0,GPU-8932f937-d72c"), HasSubstr("named twice"));
  EXPECT_THAT(WhyNot("GPU-5f"), HasSubstr("could be several"));
}

}  // namespace
}  // namespace quire::kernels
