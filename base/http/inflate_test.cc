#include "base/http/inflate.h"

#include <gtest/gtest.h>

#include "base/http/test_gzip.h"

namespace quire::http {
namespace {

TEST(InflateTest, GivesTheTextBack) {
  for (const std::string& text : {std::string(), std::string("{}"), std::string(300'000, 'a')}) {
    const auto inflated = Gunzip(Gzip(text), text.size());
    ASSERT_TRUE(inflated.ok()) << inflated.status();
    EXPECT_EQ(*inflated, text);
  }
}

TEST(InflateTest, StopsABomb) {
  const auto inflated = Gunzip(Gzip(std::string(20 << 20, '\0')), 8 << 20);
  EXPECT_EQ(inflated.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(InflateTest, JoinsMembersAsGzipDoes) {
  const std::string twice = Gzip("hello ") + Gzip("") + Gzip("world");
  EXPECT_EQ(Gunzip(twice, 11).value(), "hello world");
  EXPECT_EQ(Gunzip(twice, 10).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(InflateTest, RefusesWhatIsNotOfWholeMembers) {
  const std::string whole = Gzip("hello hello hello");
  for (const std::string& bytes : {std::string(), std::string("hello"), whole.substr(0, whole.size() - 1),
                                   whole + "x", whole.substr(1)}) {
    EXPECT_EQ(Gunzip(bytes, 1000).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace quire::http
