#include "coordinator/fleet/worker_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace quire::coordinator {
namespace {

using testing::HasSubstr;

std::string ValueOf(const std::vector<std::string>& argv, const std::string& flag) {
  for (size_t i = 0; i + 1 < argv.size(); ++i) {
    if (argv[i] == "--" + flag) return argv[i + 1];
  }
  return "(absent)";
}

// A machine of one node.
std::vector<CpuList> Cores(int count) {
  CpuList cpus(count);
  std::iota(cpus.begin(), cpus.end(), 0);
  return {cpus};
}

TEST(WorkerFlags, HandsOnWhatWasGivenAndItsDefaults) {
  WorkerFlags flags;
  Options options("quire-coordinator", "x");
  flags.Declare(options);
  const char* argv[] = {"quire-coordinator", "--model", "/m", "--tensor-parallel=2", "--kv-blocks", "77"};
  ASSERT_TRUE(options.Parse(6, argv).ok());
  EXPECT_THAT(options.Help(), HasSubstr("--max-batch-tokens tokens"));
  const auto command = flags.Command({"g1", 9, 1, "quire-x-g1-9", "/d/logs/g1-rank1.log"}, Cores(8));
  EXPECT_EQ(command[0], "quire-worker");
  EXPECT_EQ(ValueOf(command, "model"), "/m");
  EXPECT_EQ(ValueOf(command, "kv-blocks"), "77");
  EXPECT_EQ(ValueOf(command, "max-batch-tokens"), "512");
  EXPECT_EQ(ValueOf(command, "target-step-ms"), "80");
  EXPECT_EQ(ValueOf(command, "isa"), "auto");
  EXPECT_EQ(ValueOf(command, "weights"), "bf16");
  EXPECT_EQ(ValueOf(command, "ranks"), "2");
  EXPECT_EQ(ValueOf(command, "rank"), "1");
  EXPECT_EQ(ValueOf(command, "group-epoch"), "9");
  EXPECT_EQ(ValueOf(command, "shm"), "quire-x-g1-9");
  EXPECT_EQ(ValueOf(command, "log-file"), "/d/logs/g1-rank1.log");
}

// Of the data folder: where workers may compute on a GPU.
TEST(WorkerFlags, NamesAFolderForMatmulsWhereAGpuMayBe) {
  WorkerFlags flags;
  flags.matmul_cache = "/d/matmuls";
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(1)), "matmul-cache"), "(absent)");
  for (const char* backend : {"auto", "cuda"}) {
    flags.backend = backend;
    EXPECT_EQ(ValueOf(flags.Command({}, Cores(1)), "matmul-cache"), "/d/matmuls");
    EXPECT_EQ(ValueOf(flags.LastingCommand({}), "matmul-cache"), "/d/matmuls");
  }
}

TEST(WorkerFlags, SharesTheCoresAndSpinsOnlyWhereEveryRankHasOne) {
  WorkerFlags flags;
  flags.groups = 2;
  flags.ranks = 2;
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(16)), "threads"), "4");
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(16)), "spin-us"), "50");
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(16)), "host-groups"), "2");
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(2)), "threads"), "1");
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(2)), "spin-us"), "0");
  flags.threads_per_rank = 3;
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(16)), "threads"), "3");
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(16)), "cpus"), "(absent)");
}

TEST(WorkerFlags, GivesEachRankItsNode) {
  const std::vector<CpuList> nodes{{0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7, 12, 13}};
  const auto value = [&](const WorkerFlags& flags, int rank, const char* flag) {
    RankIdentity identity;
    identity.rank = rank;
    return ValueOf(flags.Command(identity, nodes), flag);
  };
  WorkerFlags flags;
  flags.ranks = 2;
  EXPECT_EQ(value(flags, 0, "cpus"), "0-3,8-11");
  EXPECT_EQ(value(flags, 0, "threads"), "8");
  EXPECT_EQ(value(flags, 1, "cpus"), "4-7,12-13");
  EXPECT_EQ(value(flags, 1, "threads"), "6");
  flags.groups = 2;  // they share each node
  EXPECT_EQ(value(flags, 1, "cpus"), "4-7,12-13");
  EXPECT_EQ(value(flags, 1, "threads"), "3");
  flags.groups = 100;
  EXPECT_EQ(value(flags, 1, "threads"), "1");
  flags.threads_per_rank = 5;
  EXPECT_EQ(value(flags, 1, "threads"), "5");
  EXPECT_EQ(value(flags, 1, "cpus"), "4-7,12-13");
}

TEST(WorkerFlags, GivesEachRankSeveralNodesWhereThereAreMore) {
  const std::vector<CpuList> nodes{{0, 3}, {1, 4}, {2, 5}};
  WorkerFlags flags;
  flags.ranks = 2;
  RankIdentity second;
  second.rank = 1;
  EXPECT_EQ(ValueOf(flags.Command({}, nodes), "cpus"), "0,3");
  EXPECT_EQ(ValueOf(flags.Command(second, nodes), "cpus"), "1-2,4-5");
  EXPECT_EQ(ValueOf(flags.Command(second, nodes), "threads"), "4");
}

TEST(WorkerFlags, BindsNoRankThatHasNoNodeOfItsOwn) {
  const std::vector<CpuList> nodes{{0, 1}, {2, 3}};
  for (const int64_t ranks : {1, 3, 4}) {
    WorkerFlags flags;
    flags.ranks = ranks;
    EXPECT_EQ(ValueOf(flags.Command({}, nodes), "cpus"), "(absent)") << ranks;
    EXPECT_EQ(ValueOf(flags.Command({}, nodes), "threads"), std::to_string(4 / ranks)) << ranks;
  }
}

TEST(WorkerFlags, StartsNoMoreThreadsThanACgroupsQuotaAllows) {
  const std::vector<CpuList> nodes{CpuList(32), CpuList(32)};
  WorkerFlags flags;
  EXPECT_EQ(ValueOf(flags.Command({}, nodes, 2), "threads"), "2");
  EXPECT_EQ(ValueOf(flags.Command({}, nodes, 100), "threads"), "64");
  EXPECT_EQ(ValueOf(flags.Command({}, nodes, 2), "spin-us"), "50");
  flags.ranks = 2;
  EXPECT_EQ(ValueOf(flags.Command({}, nodes, 6), "threads"), "3");
  EXPECT_EQ(ValueOf(flags.Command({}, nodes, 1), "threads"), "1");
  EXPECT_EQ(ValueOf(flags.Command({}, nodes, 1), "spin-us"), "0");
  flags.threads_per_rank = 5;
  EXPECT_EQ(ValueOf(flags.Command({}, nodes, 1), "threads"), "5");
}

// A worker that is given more ends with a usage error, which no restart helps.
TEST(WorkerFlags, StartsNoMoreThreadsThanAWorkerTakes) {
  WorkerFlags flags;
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(512)), "threads"), "256");
  EXPECT_EQ(ValueOf(flags.Command({}, Cores(512), 300), "threads"), "256");
  const auto parsed = [](const char* threads) {
    WorkerFlags given;
    Options options("quire-coordinator", "x");
    given.Declare(options);
    const char* argv[] = {"quire-coordinator", "--threads-per-rank", threads};
    return options.Parse(3, argv).ok();
  };
  EXPECT_TRUE(parsed("256"));
  EXPECT_FALSE(parsed("257"));
}

// Beside its drain: the step that runs then, for which the least limit is 10 s
// (worker/parallel/step_deadline.h), and the last words.
TEST(WorkerFlags, AGroupMayDrainAsLongAsItWasToldAndEndItsStepBeforeItIsKilled) {
  WorkerFlags flags;
  EXPECT_EQ(flags.StopGraceMs(), 8'000 + 10'000 + 4'000);
  flags.drain_seconds = 60;
  EXPECT_EQ(flags.StopGraceMs(), 60'000 + 10'000 + 4'000);
}

std::string GpusOf(const WorkerFlags& flags, int64_t group) {
  RankIdentity identity;
  identity.group = group;
  const std::string gpus = ValueOf(flags.Command(identity, Cores(8)), "gpus");
  EXPECT_EQ(ValueOf(flags.LastingCommand(identity), "gpus"), gpus);  // under others it would not be adopted
  return gpus;
}

TEST(WorkerFlags, EachGroupHasGpusOfItsOwn) {
  WorkerFlags flags;
  flags.groups = flags.ranks = 2;
  EXPECT_EQ(GpusOf(flags, 1), "(absent)");  // on the CPU
  flags.backend = "cuda";
  EXPECT_EQ(GpusOf(flags, 0), "0,1");
  EXPECT_EQ(GpusOf(flags, 1), "2,3");
  flags.gpus = "GPU-a,GPU-b,GPU-c,0";
  EXPECT_EQ(GpusOf(flags, 0), "GPU-a,GPU-b");
  EXPECT_EQ(GpusOf(flags, 1), "GPU-c,0");
  flags.groups = 1;
  flags.gpus = "";
  EXPECT_EQ(GpusOf(flags, 0), "(absent)");  // the first ones, or the CPU where auto finds fewer
  flags.gpus = "3,2";
  EXPECT_EQ(GpusOf(flags, 0), "3,2");
}

TEST(WorkerFlags, GpusAreAsManyAsRanks) {
  WorkerFlags flags;
  flags.groups = flags.ranks = 2;
  EXPECT_TRUE(flags.Check().ok());
  flags.gpus = "0,1,2,3";
  EXPECT_THAT(std::string(flags.Check().message()), HasSubstr("--backend cuda or auto"));
  for (const char* backend : {"auto", "cuda"}) {
    flags.backend = backend;
    EXPECT_TRUE(flags.Check().ok());
  }
  for (const char* few : {"0", "0,1,2", "0,1,2,3,4"}) {
    flags.gpus = few;
    EXPECT_THAT(std::string(flags.Check().message()), HasSubstr("2 group(s) of 2 rank(s) take 4")) << few;
  }
}

TEST(WorkerFlags, NoTwoGroupsAreGivenOneGpu) {
  WorkerFlags flags;
  flags.groups = 2;
  flags.backend = "cuda";
  for (const char* same : {"0,0", "GPU-a,GPU-a"}) {
    flags.gpus = same;
    EXPECT_TRUE(absl::IsInvalidArgument(flags.Check())) << same;
    EXPECT_THAT(std::string(flags.Check().message()), HasSubstr("twice")) << same;
  }
  flags.gpus = "0,1";
  EXPECT_TRUE(flags.Check().ok());
}

// Numbers that nobody gave may be none on this host, and then a group of `auto` would neither find a GPU nor
// go to the CPU.
TEST(WorkerFlags, GroupsOfAutoAreToldTheirGpus) {
  WorkerFlags flags;
  flags.backend = "auto";
  EXPECT_TRUE(flags.Check().ok());
  flags.groups = 2;
  EXPECT_TRUE(absl::IsInvalidArgument(flags.Check()));
  EXPECT_THAT(std::string(flags.Check().message()), HasSubstr("--gpus: or give --backend cpu"));
  flags.gpus = "0,1";
  EXPECT_TRUE(flags.Check().ok());
}

// Which node a GPU is on nobody asks: a rank that is bound to another one would be worse off than a free one.
TEST(WorkerFlags, BindsNoRankToANodeBesideGpus) {
  WorkerFlags flags;
  flags.ranks = 2;
  flags.backend = "cuda";
  EXPECT_EQ(ValueOf(flags.Command({}, {{0, 1}, {2, 3}}), "cpus"), "(absent)");
  EXPECT_EQ(ValueOf(flags.Command({}, {{0, 1}, {2, 3}}), "threads"), "2");
  flags.backend = "auto";
  EXPECT_EQ(ValueOf(flags.Command({}, {{0, 1}, {2, 3}}), "cpus"), "0-1");  // there may be none
  flags.gpus = "0,1";
  EXPECT_EQ(ValueOf(flags.Command({}, {{0, 1}, {2, 3}}), "cpus"), "(absent)");
}

// It follows the GPUs that answer: one that is lost between two coordinators is no reason to end a group that
// has another one.
TEST(WorkerFlags, HowManyGroupsShareAHostLastsWhereTheyShareItsMemory) {
  WorkerFlags flags;
  const RankIdentity rank{"g0", 1, 0, "shm", "log"};
  const auto lasting = [&](const char* backend, int64_t groups, const char* gpus) {
    flags.backend = backend;
    flags.groups = groups;
    flags.gpus = gpus;
    EXPECT_EQ(ValueOf(flags.Command(rank, Cores(8)), "host-groups"), std::to_string(groups));
    return flags.LastingCommand(rank);
  };
  EXPECT_EQ(lasting("cuda", 2, "GPU-a,GPU-b"), lasting("cuda", 3, "GPU-a,GPU-b,GPU-c"));
  EXPECT_NE(lasting("cuda", 2, "GPU-a,GPU-b"), lasting("cuda", 2, "GPU-b,GPU-a"));
  EXPECT_NE(lasting("cpu", 2, ""), lasting("cpu", 3, ""));
}

TEST(WorkerFlags, WhatLastsIsWhatWasGiven) {
  WorkerFlags flags;
  flags.ranks = 2;
  const RankIdentity rank{"g0", 1, 1, "shm", "log"};
  const auto chosen = flags.LastingCommand(rank);
  EXPECT_EQ(ValueOf(chosen, "cpus"), "(absent)");
  EXPECT_EQ(ValueOf(chosen, "ranks"), "2");
  for (const int64_t given : {1, 3}) {
    flags.threads_per_rank = given;
    EXPECT_NE(flags.LastingCommand(rank), chosen);
    EXPECT_EQ(ValueOf(flags.LastingCommand(rank), "threads"), std::to_string(given));
  }
}

}  // namespace
}  // namespace quire::coordinator
