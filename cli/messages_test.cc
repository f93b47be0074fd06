#include "cli/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/core/files.h"

namespace quire::cli {
namespace {

using nlohmann::json;

TEST(Readable, SaysTheReasonOfALogLine) {
  EXPECT_EQ(Readable(R"({"event":"step_failed","reason":"rank 1 is gone"})"), "rank 1 is gone");
  EXPECT_EQ(Readable(R"({"event":"ledger_lost","why":"a page is damaged"})"), "a page is damaged");
  EXPECT_EQ(Readable("no luck"), "no luck");
}

TEST(WhyLost, HowItEndedComesFirst) {
  EXPECT_EQ(
      WhyLost(json{{"why", "rank 0: signal 9"}, {"last_line", R"({"event":"loading","what":"weights"})"}}),
      R"(rank 0: signal 9: {"event":"loading","what":"weights"})");
  const std::string error =
      json{{"level", "error"}, {"event", "step_failed"}, {"reason", "rank 1 is gone"}}.dump();
  EXPECT_EQ(WhyLost(json{{"why", "rank 0: exit code 70"}, {"last_line", error}}),
            "rank 0: exit code 70: rank 1 is gone");
  EXPECT_EQ(WhyLost(json{{"why", "no program"}, {"last_line", "no program"}}), "no program");
  EXPECT_EQ(WhyLost(json{{"why", "rank 0: signal 9"}, {"last_line", ""}}), "rank 0: signal 9");
}

class AnnounceTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/quire_announce_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    options_.data = path;
    options_.model_name = "tiny";
    options_.ready_file = path + "/ready";
  }
  void TearDown() override { std::filesystem::remove_all(options_.data); }
  // What stands in the ready file; what was said is in said_.
  json Announce() {
    testing::internal::CaptureStdout();
    EXPECT_TRUE(AnnounceReady(options_, "127.0.0.1:1", "127.0.0.1:2").ok());
    said_ = testing::internal::GetCapturedStdout();
    return json::parse(*ReadWholeFile(options_.ready_file));
  }

  ServeOptions options_;
  std::string said_;
};

TEST_F(AnnounceTest, KeysStandInTheReadyFileAndNotInALog) {
  const json keys = {{"api_key", "sk-quire-x"}, {"admin_key", "ak-quire-y"}};
  ASSERT_TRUE(WriteFileAtomically(options_.data + "/keys.json", keys.dump(), 0600).ok());
  const json ready = Announce();
  EXPECT_EQ(ready["api_key"], "sk-quire-x");
  EXPECT_EQ(ready["admin_key"], "ak-quire-y");
  EXPECT_THAT(said_, testing::HasSubstr("/keys.json"));
  EXPECT_THAT(said_, testing::Not(testing::HasSubstr("k-quire-"))) << "stdout is no terminal here";
}

// The operator may keep the keys elsewhere.
TEST_F(AnnounceTest, WithoutTheFileItIsReadyAllTheSame) {
  const json ready = Announce();
  EXPECT_EQ(ready["url"], "http://127.0.0.1:1");
  EXPECT_EQ(ready["model"], "tiny");
  EXPECT_FALSE(ready.contains("api_key"));
  EXPECT_FALSE(ready.contains("admin_key"));
  EXPECT_THAT(said_, testing::HasSubstr("keys.json is gone"));
}

}  // namespace
}  // namespace quire::cli
