#include "base/core/cpu_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

namespace quire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(CpuList, IsReadAndWrittenInTheKernelsForm) {
  const std::pair<const char*, CpuList> forms[] = {
      {"0", {0}},   {"0-3,8", {0, 1, 2, 3, 8}}, {"7,5,6", {5, 6, 7}}, {"1-2,2-3,2", {1, 2, 3}},
      {"5-5", {5}}, {"00,01", {0, 1}},          {"8191", {8191}},
  };
  for (const auto& [text, cpus] : forms) {
    const auto parsed = ParseCpuList(text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.status();
    EXPECT_EQ(*parsed, cpus) << text;
    EXPECT_EQ(*ParseCpuList(FormatCpuList(cpus)), cpus);
  }
  EXPECT_EQ(FormatCpuList({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
  EXPECT_EQ(FormatCpuList({}), "");
}

TEST(CpuList, OddFormsAreRefusedWithAReason) {
  const std::pair<const char*, const char*> forms[] = {
      {"", "no CPU is named"},
      {",", "'' is neither"},
      {"0,", "'' is neither"},
      {",0", "'' is neither"},
      {"-", "'-' is neither"},
      {"-3", "'-3' is neither"},
      {"3-", "'3-' is neither"},
      {"0-3-5", "'0-3-5' is neither"},
      {"0--3", "'0--3' is neither"},
      {"3-0", "3-0 runs backwards"},
      {"all", "'all' is neither"},
      {"0x1", "'0x1' is neither"},
      {"+1", "'+1' is neither"},
      {" 1", "' 1' is neither"},
      {"0\n", "is neither"},
      {"0-7:2/4", "'0-7:2/4' is neither"},
      {"1.5", "'1.5' is neither"},
      {"0 1", "'0 1' is neither"},
      {"8192", "CPU 8192 is above 8191"},
      {"0-2147483647", "CPU 2147483647 is above 8191"},
      {"0-99999999999999999999", "is neither"},
  };
  for (const auto& [text, reason] : forms) {
    const auto parsed = ParseCpuList(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(reason)) << text;
  }
  EXPECT_FALSE(ParseCpuList(absl::string_view("0\0", 2)).ok());
}

// A made-up /sys/devices/system/node.
class CpuNodesTest : public testing::Test {
 protected:
  CpuNodesTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    Write("online", "0-1\n");
    Write("has_cpu", "0-1\n");
  }
  ~CpuNodesTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ + "/" + name) << content;
  }
  void AddNode(int number, const std::string& cpulist) const {
    const std::string node = "node" + std::to_string(number);
    std::filesystem::create_directories(folder_ + "/" + node);
    Write(node + "/cpulist", cpulist);
  }
  CpuNodes Group(const CpuList& usable) const { return GroupByNode(usable, folder_); }

  const std::string folder_ = testing::TempDir() + "/quire_nodes_" + std::to_string(getpid());
};

TEST_F(CpuNodesTest, OneNode) {
  AddNode(0, "0-1\n");
  const CpuNodes found = Group({0, 1});
  EXPECT_THAT(found.nodes, ElementsAre(CpuList{0, 1}));
  EXPECT_EQ(found.description, "1 NUMA node with 2 usable CPUs");
}

TEST_F(CpuNodesTest, SeveralInTheOrderOfTheirNumbers) {
  AddNode(10, "8-9\n");
  AddNode(0, "0-1,4-5\n");
  AddNode(2, "2-3,6\n");
  const CpuNodes found = Group({0, 1, 2, 3, 4, 5, 6, 8, 9});
  EXPECT_THAT(found.nodes, ElementsAre(CpuList{0, 1, 4, 5}, CpuList{2, 3, 6}, CpuList{8, 9}));
  EXPECT_EQ(found.description, "3 NUMA nodes with 4 and 3 and 2 usable CPUs");
}

TEST_F(CpuNodesTest, ANodeOfMemoryAloneIsNone) {
  AddNode(0, "0-3\n");
  AddNode(1, "\n");
  EXPECT_EQ(Group({0, 1, 2, 3}).description, "1 NUMA node with 4 usable CPUs");
}

TEST_F(CpuNodesTest, AffinityOfOneCpuLeavesItsNode) {
  AddNode(0, "0-3\n");
  AddNode(1, "4-7\n");
  const CpuNodes found = Group({5});
  EXPECT_THAT(found.nodes, ElementsAre(CpuList{5}));
  EXPECT_EQ(found.description, "1 NUMA node with 1 usable CPU");
}

TEST_F(CpuNodesTest, CpusThatAreOfflineOrNotOursAreLeftOut) {
  AddNode(0, "0-3\n");
  AddNode(1, "4-7\n");
  EXPECT_THAT(Group({0, 2, 3, 4, 5}).nodes, ElementsAre(CpuList{0, 2, 3}, CpuList{4, 5}));
}

TEST_F(CpuNodesTest, UnevenNodesAreTakenTogether) {
  AddNode(0, "0-3\n");
  AddNode(1, "4-7\n");
  const CpuNodes found = Group({0, 1, 2, 3, 4});
  EXPECT_THAT(found.nodes, ElementsAre(CpuList{0, 1, 2, 3, 4}));
  EXPECT_EQ(found.description, "NUMA nodes too uneven for a rank each (1 to 4 CPUs), together 5 usable CPUs");
}

TEST_F(CpuNodesTest, WhereSysDoesNotTellAllAreOneNode) {
  const CpuList usable{0, 1, 2};
  const char* unknown = "no NUMA nodes known, 3 usable CPUs";
  EXPECT_EQ(Group(usable).description, unknown);  // the folder names no node
  EXPECT_EQ(GroupByNode(usable, folder_ + "/absent").description, unknown);
  EXPECT_EQ(GroupByNode(usable, folder_ + "/online").description, unknown);
  std::filesystem::create_directories(folder_ + "/node0");  // it has no list
  EXPECT_EQ(Group(usable).description, unknown);
  AddNode(0, "0-1\n");  // CPU 2 is on no node
  EXPECT_EQ(Group(usable).description, unknown);
  AddNode(1, "2-oops\n");
  EXPECT_EQ(Group(usable).description, unknown);
  EXPECT_THAT(Group(usable).nodes, ElementsAre(usable));
  AddNode(1, "1-2\n");  // CPU 1 is said to be on both
  EXPECT_THAT(Group(usable).nodes, ElementsAre(CpuList{0, 1}, CpuList{2}));
}

// A made-up machine's /proc/self/cgroup and /sys/fs/cgroup.
class CpuQuotaTest : public testing::Test {
 protected:
  CpuQuotaTest() { std::filesystem::remove_all(root_); }
  ~CpuQuotaTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& name, const std::string& content) const {
    const std::filesystem::path path = root_ + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << content;
  }
  std::optional<int64_t> Quota() const { return CpuQuota(root_); }

  const std::string root_ = testing::TempDir() + "/quire_quota_" + std::to_string(getpid());
};

TEST_F(CpuQuotaTest, IsRoundedUp) {
  Write("proc/self/cgroup", "0::/a\n");
  EXPECT_EQ(Quota(), std::nullopt);  // no file says anything
  const std::pair<const char*, std::optional<int64_t>> limits[] = {
      {"200000 100000\n", 2},
      {"200001 100000\n", 3},
      {"150000 100000\n", 2},
      {"1000 100000\n", 1},
      {"50000 25000\n", 2},
      {"max 100000\n", std::nullopt},
      {"6400000 100000\n", 64},
      {"\n", std::nullopt},
      {"0 100000\n", std::nullopt},
      {"1 0\n", std::nullopt},
      {"9223372036854775807 1000\n", 9223372036854776}};
  for (const auto& [text, cpus] : limits) {
    Write("sys/fs/cgroup/a/cpu.max", text);
    EXPECT_EQ(Quota(), cpus) << text;
  }
}

TEST_F(CpuQuotaTest, IsTheLeastOfAllCgroupsAround) {
  Write("proc/self/cgroup", "1:name=systemd:/x\n0::/a/b\n");
  Write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  Write("sys/fs/cgroup/a/cpu.max", "300000 100000\n");
  EXPECT_EQ(Quota(), 3);
  Write("sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
  EXPECT_EQ(Quota(), 3);
  Write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(Quota(), 2);
}

TEST_F(CpuQuotaTest, OfTheFirstVersionStandsInTwoFiles) {
  Write("proc/self/cgroup", "4:memory:/m\n3:cpu,cpuacct:/docker/c\n2:cpuset:/s\n0::/\n");
  const std::string mount = "sys/fs/cgroup/cpu,cpuacct/";
  Write(mount + "docker/c/cpu.cfs_period_us", "100000\n");
  Write(mount + "docker/c/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(Quota(), std::nullopt);
  Write(mount + "docker/c/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(Quota(), 3);
}

TEST_F(CpuQuotaTest, OfTheFirstVersionIsFoundWhereTheMountNamesItInAnotherOrder) {
  Write("proc/self/cgroup", "3:cpuacct,cpu:/c\n");
  Write("sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");  // cpu is a link to cpu,cpuacct
  Write("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(Quota(), 2);
}

TEST_F(CpuQuotaTest, OfAPathWithoutASlashIsThatOfTheOutermostFolder) {
  Write("proc/self/cgroup", "0::a\n");
  Write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(Quota(), 2);
}

// A container's path in /proc is the host's, which it doesn't see; its own cgroup is the outermost there.
TEST_F(CpuQuotaTest, OfAContainerIsThatOfTheOutermostFolder) {
  Write("proc/self/cgroup", "3:cpu:/docker/c\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(Quota(), 2);
  Write("proc/self/cgroup", "0::/docker/c\n");
  Write("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(Quota(), 1);
  std::filesystem::remove(root_ + "/proc/self/cgroup");  // no /proc
  EXPECT_EQ(Quota(), 1);
}

TEST(ThreadsWithin, AreAtMostThePartOfTheQuotaAndAtLeastOne) {
  EXPECT_EQ(ThreadsWithin(64, std::nullopt, 1), 64);
  EXPECT_EQ(ThreadsWithin(64, 2, 1), 2);
  EXPECT_EQ(ThreadsWithin(1, 2, 1), 1);
  EXPECT_EQ(ThreadsWithin(32, 5, 2), 2);
  EXPECT_EQ(ThreadsWithin(32, 1, 4), 1);
  EXPECT_EQ(ThreadsWithin(32, 8, 0), 8);
}

TEST(UsableCpus, AreAllOnTheMachinesNodes) {
  const CpuList usable = UsableCpus();
  ASSERT_FALSE(usable.empty());
  CpuList together;
  for (const CpuList& node : GroupByNode(usable).nodes) {
    together.insert(together.end(), node.begin(), node.end());
  }
  std::sort(together.begin(), together.end());
  EXPECT_EQ(together, usable);
}

TEST(RunOnCpus, HoldsForThreadsThatStartAfterwards) {
  std::thread([] {  // this test's own thread keeps what it has
    const CpuList one{UsableCpus().back()};
    ASSERT_TRUE(RunOnCpus(one).ok());
    std::thread([&] { EXPECT_EQ(UsableCpus(), one); }).join();
  })
      .join();
}

TEST(RunOnCpus, RefusesWhatIsNotThere) {
  const CpuList usable = UsableCpus();
  const absl::Status refused = RunOnCpus({usable.front(), 8191});
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("there is no CPU 8191 for this process: it may use " + FormatCpuList(usable)));
  EXPECT_EQ(UsableCpus(), usable);
}

}  // namespace
}  // namespace quire
