// Seeds that fail are said, kept and run again.
#include "base/core/test_seeds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace quire {
namespace {

using ::testing::HasSubstr;

class SeedsTest : public ::testing::Test {
 protected:
  void SetUp() override { unsetenv("QUIRE_SEED"); }  // whoever runs one seed of another test
  void TearDown() override { std::remove(kept_.c_str()); }
  Seeds::Run Failing(size_t which, const std::string& how) {
    return [this, which, how](uint64_t seed) {
      ran_.push_back(seed);
      return ran_.size() == which ? how : "";
    };
  }
  const std::string kept_ = absl::StrCat(::testing::TempDir(), "/quire_kept_seeds.", getpid());
  std::vector<uint64_t> ran_;
};

TEST_F(SeedsTest, AFreshOneThatFailsIsSaidKeptAndRunFirst) {
  const Seeds seeds(kept_, "--seed $0", Failing(3, "it is broken"));
  EXPECT_TRUE(seeds.KeptHold()) << "there are none";
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(seeds.FreshHold(10));
  const std::string said = ::testing::internal::GetCapturedStdout();
  ASSERT_EQ(ran_.size(), 3u);
  const uint64_t failed = ran_.back();
  EXPECT_THAT(said, HasSubstr(absl::StrCat("it is broken (again: --seed ", failed, ")")));
  ran_.clear();
  EXPECT_FALSE(Seeds(kept_, "", Failing(1, "it still is")).KeptHold());
  EXPECT_EQ(ran_, std::vector<uint64_t>{failed});
  ran_.clear();
  EXPECT_TRUE(SeedsHold(kept_, 5, Failing(0, "")));
  EXPECT_EQ(ran_.size(), 6u);
  EXPECT_EQ(ran_.front(), failed);
}

TEST_F(SeedsTest, WhatIsThrownIsWrong) {
  const Seeds seeds("", "", [](uint64_t) -> std::string { throw std::runtime_error("a bug"); });
  EXPECT_FALSE(seeds.Hold(1, 1));
}

// In a process of its own, where it fails no test.
TEST_F(SeedsTest, AnExpectationThatFailsIsWrong) {
  const auto run_three = [this] {
    const bool held = SeedsHold(kept_, 3, [this](uint64_t seed) -> std::string {
      ran_.push_back(seed);
      EXPECT_LT(ran_.size(), 2u);
      return "";
    });
    std::exit(!held && ran_.size() == 2 ? 0 : 1);
  };
  EXPECT_EXIT(run_three(), ::testing::ExitedWithCode(0), "");
  std::ifstream kept(kept_);
  uint64_t failed = 0;
  EXPECT_TRUE(kept >> failed);
}

TEST_F(SeedsTest, AFileOfSomethingElseDoesNotHold) {
  std::ofstream(kept_) << "1\nx\n";
  EXPECT_FALSE(Seeds(kept_, "", Failing(0, "")).KeptHold());
  EXPECT_EQ(ran_, std::vector<uint64_t>{1});
}

TEST_F(SeedsTest, OneThatIsNamedIsRunAlone) {
  setenv("QUIRE_SEED", "77", 1);
  EXPECT_TRUE(SeedsHold(kept_, 5, Failing(0, "")));
  unsetenv("QUIRE_SEED");
  EXPECT_EQ(ran_, std::vector<uint64_t>{77});
}

}  // namespace
}  // namespace quire
