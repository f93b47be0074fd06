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
