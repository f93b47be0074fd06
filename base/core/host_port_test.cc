#include "base/core/host_port.h"

#include <gtest/gtest.h>

namespace quire {
namespace {

TEST(HostPort, OnlyABareIpv6AddressGetsBrackets) {
  EXPECT_EQ(JoinHostPort("127.0.0.1", 80), "127.0.0.1:80");
  EXPECT_EQ(JoinHostPort("gpu7.example", 0), "gpu7.example:0");
  EXPECT_EQ(JoinHostPort("::1", 80), "[::1]:80");
  EXPECT_EQ(JoinHostPort("fd00::7", 65535), "[fd00::7]:65535");
  EXPECT_EQ(JoinHostPort("::", 80), "[::]:80");
  EXPECT_EQ(JoinHostPort("[::1]", 80), "[::1]:80");
  EXPECT_EQ(JoinHostPort("", 80), ":80");
}

}  // namespace
}  // namespace quire
