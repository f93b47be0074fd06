#include "worker/model/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

TEST(CheckpointTest, HoldsWhatTheFolderSays) {
  const TestCheckpoint folder("BF16");
  const auto open = folder.Open("yarn:4:32");
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_EQ(open->config.hidden, 24);
  EXPECT_TRUE(open->config.scaled_rope.has_value());
  EXPECT_EQ(open->sample, open->files->SampleDigest());
  EXPECT_TRUE(ParseModelConfig(open->config_json, "").ok());
}

TEST(CheckpointTest, SaysWhichFolderIsWrong) {
  const TestCheckpoint folder("BF16");
  const absl::Status config = OpenCheckpoint(folder.dir(), "{}", "", "bf16").status();
  EXPECT_TRUE(absl::IsInvalidArgument(config));
  EXPECT_THAT(std::string(config.message()), HasSubstr(folder.dir() + ": config.json: "));
  const auto open = folder.Open();
  ASSERT_TRUE(open.ok()) << open.status();
  const absl::Status files = OpenCheckpoint("/nonexistent", open->config_json, "", "bf16").status();
  EXPECT_TRUE(absl::IsNotFound(files));
  EXPECT_THAT(std::string(files.message()), HasSubstr("/nonexistent"));
}

}  // namespace
}  // namespace quire::worker
