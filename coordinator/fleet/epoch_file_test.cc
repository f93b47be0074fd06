#include "coordinator/fleet/epoch_file.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/core/files.h"

namespace quire::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class EpochFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/quire_epochs_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path() const { return folder_ + "/epochs.json"; }

  std::string folder_;
};

TEST_F(EpochFileTest, AnEpochThatIsOverStaysOverAfterARestart) {
  {
    EpochFile epochs(Path());
    ASSERT_TRUE(epochs.Load(1).ok());  // there is no file yet
    EXPECT_TRUE(epochs.Raise("g", 5, 1).ok());
    EXPECT_TRUE(epochs.Raise("g", 7, 2).ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(epochs.Raise("g", 6, 3)));
    EXPECT_TRUE(epochs.Raise("g", 7, 4).ok());  // it registers again
  }
  EpochFile epochs(Path());
  ASSERT_TRUE(epochs.Load(5).ok());
  EXPECT_THAT(epochs.Epochs(), ElementsAre(Pair("g", 7)));
  EXPECT_TRUE(absl::IsFailedPrecondition(epochs.Raise("g", 6, 5)));
  struct stat info {};
  ASSERT_EQ(stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(EpochFileTest, GroupsAreForgottenAfterThirtyDaysOfSilence) {
  constexpr int64_t kDayMs = 24 * 3600 * 1000;
  {
    EpochFile epochs(Path());
    ASSERT_TRUE(epochs.Raise("old", 1, 0).ok());
    ASSERT_TRUE(epochs.Raise("lives", 1, 0).ok());
    ASSERT_TRUE(epochs.Raise("lives", 1, 31 * kDayMs).ok());  // a heartbeat
  }
  EpochFile epochs(Path());
  ASSERT_TRUE(epochs.Load(32 * kDayMs).ok());
  EXPECT_THAT(epochs.Epochs(), ElementsAre(Pair("lives", 1)));
}

// A host whose clock is years ahead when it boots must not let in who was replaced; nor one that was so once.
TEST_F(EpochFileTest, AClockThatJumpsForgetsNobody) {
  constexpr int64_t kYearMs = int64_t{365} * 24 * 3600 * 1000;
  {
    EpochFile epochs(Path());
    ASSERT_TRUE(epochs.Raise("replaced", 5, 1).ok());
    ASSERT_TRUE(epochs.Raise("lives", 1, 2).ok());
  }
  EpochFile ahead(Path());
  ASSERT_TRUE(ahead.Load(50 * kYearMs).ok());
  EXPECT_THAT(ahead.Epochs(), ElementsAre(Pair("lives", 1), Pair("replaced", 5)));
  ASSERT_TRUE(ahead.Raise("lives", 1, 50 * kYearMs).ok());
  EpochFile set_right(Path());
  ASSERT_TRUE(set_right.Load(3).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(set_right.Raise("replaced", 4, 3)));
}

// Who is heard of while a clock is behind is not older than who was heard of before.
TEST_F(EpochFileTest, AClockThatWasBehindForgetsNobody) {
  constexpr int64_t kDayMs = 24 * 3600 * 1000;
  {
    EpochFile epochs(Path());
    ASSERT_TRUE(epochs.Raise("quiet", 1, 1000 * kDayMs).ok());
    ASSERT_TRUE(epochs.Raise("lives", 1, 1000 * kDayMs).ok());
    ASSERT_TRUE(epochs.Raise("new", 7, 0).ok());
    ASSERT_TRUE(epochs.Raise("lives", 2, 1).ok());
  }
  EpochFile set_right(Path());
  ASSERT_TRUE(set_right.Load(1000 * kDayMs + 1).ok());
  EXPECT_THAT(set_right.Epochs(), ElementsAre(Pair("lives", 2), Pair("new", 7), Pair("quiet", 1)));
}

// What is new must be written; that a known one lives need not be.
TEST_F(EpochFileTest, OnAFullDiskAKnownEpochComesBack) {
  constexpr int64_t kDayMs = 24 * 3600 * 1000;
  bool full = false;
  EpochFile epochs(Path(), [&](const std::string& path, std::string_view content, mode_t mode) {
    return full ? absl::UnavailableError("full") : WriteFileAtomically(path, content, mode);
  });
  ASSERT_TRUE(epochs.Raise("g", 5, 0).ok());
  full = true;
  EXPECT_TRUE(epochs.Raise("g", 5, 3 * kDayMs).ok());
  EXPECT_FALSE(epochs.IsFresh("g", 5, 3 * kDayMs)) << "it is to be tried again";
  EXPECT_FALSE(epochs.Raise("g", 6, 3 * kDayMs).ok());
  EXPECT_FALSE(epochs.Raise("h", 1, 3 * kDayMs).ok());
}

TEST_F(EpochFileTest, WhatCantBeWrittenIsNotRaised) {
  EpochFile epochs(folder_ + "/missing/epochs.json");
  EXPECT_FALSE(epochs.Raise("g", 5, 1).ok());
  EXPECT_THAT(epochs.Epochs(), IsEmpty());
}

TEST_F(EpochFileTest, ADamagedFileIsRefused) {
  for (const char* content : {"", "[]", R"({"g": 3})", R"({"g": {"epoch": -1, "heard_ms": 1}})",
                              R"({"g": {"epoch": 9223372036854775807, "heard_ms": 1}})",
                              R"({"g": {"epoch": 1, "heard_ms": -9223372036854775808}})",
                              R"({"g": {"epoch": 1, "heard_ms": 18446744073709551615}})"}) {
    ASSERT_TRUE(WriteFileAtomically(Path(), content, 0600).ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(EpochFile(Path()).Load(1))) << content;
  }
}

}  // namespace
}  // namespace quire::coordinator
