#include "base/core/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "base/core/files.h"
#include "base/core/log_options.h"

namespace quire {
namespace {

using testing::HasSubstr;

class LogFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/quire_log_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    options_.file = folder_ + "/program.log";
    options_.max_mb = 1;
    options_.files = 3;
  }
  void TearDown() override {
    InitLogging("test");
    std::filesystem::remove_all(folder_);
  }

  std::string folder_;
  LogOptions options_;
};

TEST_F(LogFile, LinesGoToTheFileAndNotBeyondItsBounds) {
  InitLogging("test", options_);
  const std::string filling(1000, 'x');
  for (int i = 0; i < 10'000; ++i) Log(LogLevel::kInfo, "line", "i", i, "filling", filling);
  uint64_t bytes = 0, files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    EXPECT_LE(entry.file_size(), 1u << 20);
    bytes += entry.file_size();
    ++files;
  }
  EXPECT_EQ(files, 3u);
  EXPECT_GT(bytes, 2u << 20);  // the newest lines are there, and no more than the bound
  EXPECT_THAT(*ReadWholeFile(options_.file), HasSubstr("\"i\":9999"));
}

TEST_F(LogFile, AppendsToWhatIsThere) {
  std::ofstream(options_.file) << "earlier\n";
  InitLogging("test", options_);
  Log(LogLevel::kInfo, "later");
  EXPECT_THAT(*ReadWholeFile(options_.file), testing::StartsWith("earlier\n{"));
}

TEST_F(LogFile, AFileThatCantBeWrittenLeavesTheLogOnStderr) {
  options_.file = "/proc/no-such-folder/program.log";
  testing::internal::CaptureStderr();
  InitLogging("test", options_);
  Log(LogLevel::kInfo, "still_said");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("log_file_not_written"));
  EXPECT_THAT(said, HasSubstr("still_said"));
}

TEST_F(LogFile, AFolderOfATypoIsNotMade) {
  options_.file = folder_ + "/tpyo/program.log";
  testing::internal::CaptureStderr();
  InitLogging("test", options_);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("its folder is not there"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/tpyo"));
}

TEST(LogOptions, WhatIsHandedOnIsUnderstood) {
  LogOptions mine, theirs;
  mine.level = "debug";
  mine.max_mb = 7;
  mine.files = 2;
  std::vector<std::string> flags = mine.FlagsFor("/x/y.log");
  std::vector<const char*> argv{"program"};
  for (const std::string& flag : flags) argv.push_back(flag.c_str());
  Options options("program", "");
  theirs.Declare(options);
  ASSERT_TRUE(options.Parse(static_cast<int>(argv.size()), argv.data()).ok());
  EXPECT_EQ(theirs.level, "debug");
  EXPECT_EQ(theirs.file, "/x/y.log");
  EXPECT_EQ(theirs.max_mb, 7);
  EXPECT_EQ(theirs.files, 2);
}

}  // namespace
}  // namespace quire
