#include "worker/join_group.h"

#include <gmock/gmock.h>

#include <map>

#include "base/core/status.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

absl::Status Take(const std::map<std::string, std::string>& variables, WorkerConfig& config) {
  return TakeLwsDefaults(
      [&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
      },
      config);
}

TEST(TakeLwsDefaults, OutsideOfKubernetesNothingChanges) {
  WorkerConfig config;
  ASSERT_TRUE(Take({}, config).ok());
  EXPECT_EQ(config.rank, 0);
  EXPECT_EQ(config.ranks, 1);
  EXPECT_EQ(config.Rendezvous(), "");
  EXPECT_TRUE(CheckPlacement(config).ok());
}

TEST(TakeLwsDefaults, APodHasItsPlaceFromItsSet) {
  WorkerConfig config;
  ASSERT_TRUE(
      Take({{"LWS_WORKER_INDEX", "2"}, {"LWS_GROUP_SIZE", "4"}, {"LWS_LEADER_ADDRESS", "group-0.quire.ns"}},
           config)
          .ok());
  EXPECT_EQ(config.rank, 2);
  EXPECT_EQ(config.ranks, 4);
  EXPECT_EQ(config.Rendezvous(), "group-0.quire.ns:29500");
  EXPECT_TRUE(CheckPlacement(config).ok());
  config.rendezvous = "10.0.0.1:7";  // a flag counts more
  EXPECT_EQ(config.Rendezvous(), "10.0.0.1:7");
}

// As of a worker that a coordinator in the pod starts, or a set of one.
TEST(TakeLwsDefaults, FlagsOfAGroupOnOneHostCountMore) {
  WorkerConfig config;
  ASSERT_TRUE(
      Take({{"LWS_WORKER_INDEX", "0"}, {"LWS_GROUP_SIZE", "2"}, {"LWS_LEADER_ADDRESS", "leader"}}, config)
          .ok());
  config.shm = "name";
  EXPECT_EQ(config.Rendezvous(), "");
  EXPECT_TRUE(CheckPlacement(config).ok());
  config.shm = "";
  config.ranks = 1;
  EXPECT_EQ(config.Rendezvous(), "");
  EXPECT_TRUE(CheckPlacement(config).ok());
}

TEST(TakeLwsDefaults, RefusesWhatIsNoNumber) {
  for (const auto& [name, value] : {std::pair{"LWS_GROUP_SIZE", "0"},
                                    {"LWS_GROUP_SIZE", "65"},
                                    {"LWS_GROUP_SIZE", ""},
                                    {"LWS_WORKER_INDEX", "-1"},
                                    {"LWS_WORKER_INDEX", "x"}}) {
    WorkerConfig config;
    EXPECT_THAT(MessageOf(Take({{name, value}}, config)), HasSubstr(name)) << value;
  }
}

// In shared memory all ranks' halves and one plan; over TCP the others' parts, what is packed, and each
// host's plan.
TEST(BufferBytesHere, AreThoseOfTheGroupsForm) {
  const BufferSizes sizes{4 << 20, 64 << 10};
  WorkerConfig config;
  config.ranks = 4;
  EXPECT_EQ(BufferBytesHere(config, sizes), 4 * 2 * (4 << 20) + (64 << 10));
  config.rendezvous = "10.0.0.1:7";
  EXPECT_EQ(BufferBytesHere(config, sizes), 3 * (1 << 20) + 2 * (64 << 10));
}

// Only rank 0 serves, and knows a coordinator.
TEST(CheckAddresses, NothingIsSaidInTheClearElsewhere) {
  WorkerConfig config;
  config.coordinator = "127.0.0.1:7000";
  EXPECT_TRUE(config.CheckAddresses().ok());
  for (const auto& [host, coordinator] : {std::pair{"0.0.0.0", ""}, {"127.0.0.1", "10.0.0.9:7000"}}) {
    config.host = host;
    config.coordinator = coordinator;
    config.rank = 0;
    EXPECT_TRUE(absl::IsFailedPrecondition(config.CheckAddresses())) << host;
    config.rank = 1;
    EXPECT_TRUE(config.CheckAddresses().ok()) << host;
  }
}

TEST(CheckPlacement, SaysWhatToGiveInstead) {
  struct Case {
    int64_t rank, ranks;
    std::string shm, rendezvous, says;
  };
  for (const Case& wrong : {Case{2, 2, "name", "", "--rank 2 is not below --ranks 2"},
                            {0, 2, "", "", "--rendezvous HOST:PORT"},
                            {0, 2, "name", "h:1", "give one of them"},
                            {0, 1, "", "h:1", "give --ranks"},
                            {0, 2, "", "h:x", "HOST:PORT"}}) {
    WorkerConfig config;
    config.rank = wrong.rank;
    config.ranks = wrong.ranks;
    config.shm = wrong.shm;
    config.rendezvous = wrong.rendezvous;
    const absl::Status refused = CheckPlacement(config);
    EXPECT_TRUE(absl::IsInvalidArgument(refused));
    EXPECT_THAT(MessageOf(refused), HasSubstr(wrong.says));
  }
}

}  // namespace
}  // namespace quire::worker
