#include "coordinator/fleet/worker_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quire::coordinator {
namespace {

using testing::HasSubstr;

std::string ValueOf(const std::vector<std::string>& argv, const std::string& flag) {
  for (size_t i = 0; i + 1 < argv.size(); ++i) {
    if (argv[i] == "--" + flag) return argv[i + 1];
  }
  return "(absent)";
}

TEST(WorkerFlags, HandsOnWhatWasGivenAndItsDefaults) {
  WorkerFlags flags;
  Options options("quire-coordinator", "x");
  flags.Declare(options);
  const char* argv[] = {"quire-coordinator", "--model", "/m", "--tensor-parallel=2", "--kv-blocks", "77"};
  ASSERT_TRUE(options.Parse(6, argv).ok());
  EXPECT_THAT(options.Help(), HasSubstr("--max-batch-tokens tokens"));
  const auto command = flags.Command({"g1", 9, 1, "quire-x-g1-9", "/d/logs/g1-rank1.log"}, 8);
  EXPECT_EQ(command[0], "quire-worker");
  EXPECT_EQ(ValueOf(command, "model"), "/m");
  EXPECT_EQ(ValueOf(command, "kv-blocks"), "77");
  EXPECT_EQ(ValueOf(command, "max-batch-tokens"), "512");
  EXPECT_EQ(ValueOf(command, "ranks"), "2");
  EXPECT_EQ(ValueOf(command, "rank"), "1");
  EXPECT_EQ(ValueOf(command, "group-epoch"), "9");
  EXPECT_EQ(ValueOf(command, "shm"), "quire-x-g1-9");
  EXPECT_EQ(ValueOf(command, "log-file"), "/d/logs/g1-rank1.log");
}

TEST(WorkerFlags, SharesTheCoresAndSpinsOnlyWhereEveryRankHasOne) {
  WorkerFlags flags;
  flags.groups = 2;
  flags.ranks = 2;
  EXPECT_EQ(ValueOf(flags.Command({}, 16), "threads"), "4");
  EXPECT_EQ(ValueOf(flags.Command({}, 16), "spin-us"), "50");
  EXPECT_EQ(ValueOf(flags.Command({}, 16), "host-groups"), "2");
  EXPECT_EQ(ValueOf(flags.Command({}, 2), "threads"), "1");
  EXPECT_EQ(ValueOf(flags.Command({}, 2), "spin-us"), "0");
  flags.threads_per_rank = 3;
  EXPECT_EQ(ValueOf(flags.Command({}, 16), "threads"), "3");
}

}  // namespace
}  // namespace quire::coordinator
