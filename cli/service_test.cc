#include "cli/service.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace quire::cli {
namespace {

class LastWordsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/quire_service_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    logs_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(logs_); }
  std::string Log() const { return logs_ + "/x.log"; }
  std::string WordsOf(const std::string& script) {
    Service service("x", "/bin/sh", logs_, [&] {
      return std::vector<std::string>{"-c", script, "x", Log()};
    });
    EXPECT_TRUE(service.Start(1).ok());
    service.Reap(2);  // waits for its end
    return service.LastWords();
  }

  std::string logs_;
};

TEST_F(LastWordsTest, OfOneThatWasKilledThereAreNone) {
  std::ofstream(Log()) << R"({"level":"error","why":"a former run's"})"
                       << "\n";
  EXPECT_EQ(WordsOf(R"(echo '{"level":"info","event":"request"}' >> "$1"; kill -9 $$)"), "");
  EXPECT_EQ(WordsOf(R"(echo '{"level":"error","why":"a group was lost"}' >> "$1"; kill -9 $$)"), "");
  EXPECT_EQ(WordsOf("echo 'pure virtual method called' >&2; kill -6 $$"), "pure virtual method called");
}

TEST_F(LastWordsTest, AreTheLastErrorOfItsRun) {
  std::ofstream(Log()) << std::string(100, 'x') << "\n";
  const std::string error = R"({"level":"error","why":"the disk"})";
  EXPECT_EQ(WordsOf("echo '" + error +
                    R"(' >> "$1"; echo '{"level":"info"}' >> "$1"; printf '{"level":"err' >> "$1")"),
            error);
}

TEST_F(LastWordsTest, AreReadFromALogThatWasBegunAnew) {
  std::ofstream(Log()) << std::string(100, 'x') << "\n";
  const std::string error = R"({"level":"error","why":"y"})";
  EXPECT_EQ(WordsOf("echo '" + error + R"(' > "$1")"), error);
}

TEST_F(LastWordsTest, WhatStandsOnStderrComesFirst) {
  EXPECT_EQ(WordsOf(R"(echo '{"level":"error"}' >> "$1"; echo no luck >&2)"), "no luck");
}

// Its words went where there was no room for them.
TEST_F(LastWordsTest, WhereNoneCouldBeWrittenTheDiskIsBlamed) {
  EXPECT_EQ(WordsOf("exit 1"), "");
  Service service("x", "/bin/sh", logs_, [&] {
    return std::vector<std::string>{"-c", "rm -r \"$1\"; exit 1", "x", logs_};
  });
  EXPECT_TRUE(service.Start(1).ok());
  service.Reap(2);
  EXPECT_NE(service.LastWords().find("can't write in " + logs_ + ": No such file"), std::string::npos);
}

}  // namespace
}  // namespace quire::cli
