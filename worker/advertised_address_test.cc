#include "worker/advertised_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/core/status.h"

namespace quire::worker {
namespace {

std::string Chosen(const std::string& flag, const std::string& host, const std::string& coordinator) {
  const auto address = ChooseAdvertised(flag, host, coordinator);
  return address.ok() ? address->host + "|" + std::to_string(address->port) : "refused";
}

TEST(AdvertisedAddress, IsTheFlagsElseTheBoundOne) {
  EXPECT_EQ(Chosen("", "127.0.0.1", "127.0.0.1:5"), "127.0.0.1|0");
  EXPECT_EQ(Chosen("", "10.0.0.7", "10.0.0.1:5"), "10.0.0.7|0");
  EXPECT_EQ(Chosen("", "fd00::7", "10.0.0.1:5"), "[fd00::7]|0");
  EXPECT_EQ(Chosen("gpu7.example", "0.0.0.0", "10.0.0.1:5"), "gpu7.example|0");
  EXPECT_EQ(Chosen("gpu7.example:7000", "10.0.0.7", ""), "gpu7.example|7000");
  EXPECT_EQ(Chosen("[fd00::7]:7000", "::", "10.0.0.1:5"), "[fd00::7]|7000");
  EXPECT_EQ(Chosen("[fd00::7]", "::", "10.0.0.1:5"), "[fd00::7]|0");
  EXPECT_EQ(Chosen("fd00::7", "::", "10.0.0.1:5"), "[fd00::7]|0");
}

TEST(AdvertisedAddress, OfAWildcardIsLoopbackOnlyWhereTheCoordinatorIsToo) {
  for (const char* wildcard : {"0.0.0.0", "::", "[::]"}) {
    EXPECT_EQ(Chosen("", wildcard, "127.0.0.1:5"), "127.0.0.1|0");
    EXPECT_EQ(Chosen("", wildcard, "localhost:5"), "127.0.0.1|0");
    EXPECT_EQ(Chosen("", wildcard, "[::1]:5"), "127.0.0.1|0");
    EXPECT_EQ(Chosen("", wildcard, ""), "127.0.0.1|0");
    const auto refused = ChooseAdvertised("", wildcard, "10.0.0.1:5");
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
    EXPECT_THAT(MessageOf(refused.status()), testing::HasSubstr("--advertise HOST[:PORT]"));
  }
}

TEST(AdvertisedAddress, WhatIsBoundBesideIsReachedByItsOwnHostUnlessThatIsAWildcard) {
  EXPECT_EQ(HostBeside("127.0.0.1", {"10.0.0.7", 0}), "127.0.0.1");
  EXPECT_EQ(HostBeside("::1", {"10.0.0.7", 0}), "[::1]");
  EXPECT_EQ(HostBeside("0.0.0.0", {"10.0.0.7", 0}), "10.0.0.7");
}

TEST(AdvertisedAddress, RefusesWhatNobodyCanReach) {
  for (const char* flag :
       {"0.0.0.0", "0.0.0.0:7000", "[::]:7000", ":7000", "host:", "host:0", "host:65536", "host:x"}) {
    EXPECT_EQ(Chosen(flag, "10.0.0.7", "10.0.0.1:5"), "refused") << flag;
  }
}

}  // namespace
}  // namespace quire::worker
