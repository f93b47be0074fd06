#include "cli/file_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "base/process/test_folder.h"

namespace quire::cli {
namespace {

using testing::ElementsAre;
using testing::Pair;

class FileFollowerTest : public testing::Test {
 protected:
  void Append(const std::string& file, const std::string& text) { folder_.Append(file, text); }
  void Rename(const std::string& from, const std::string& to) { folder_.Rename(from, to); }
  std::vector<std::pair<std::string, std::string>> Read(FileFollower& follower) {
    lines_.clear();
    follower.ReadNew();
    return lines_;
  }
  FileFollower Follow() {
    return FileFollower(folder_.path(),
                        [this](const auto& file, const auto& line) { lines_.emplace_back(file, line); });
  }

  const TestFolder folder_;
  std::vector<std::pair<std::string, std::string>> lines_;
};

TEST_F(FileFollowerTest, HandsOverWholeNewLines) {
  Append("x.log", "old\n");
  FileFollower follower = Follow();
  ASSERT_TRUE(follower.Start().ok());
  Append("x.log", "one\ntw");
  EXPECT_THAT(Read(follower), ElementsAre(Pair("x.log", "one")));
  Append("x.log", "o\n");
  EXPECT_THAT(Read(follower), ElementsAre(Pair("x.log", "two")));
}

TEST_F(FileFollowerTest, ALogThatIsSetAsideLosesNoLineAndRepeatsNone) {
  FileFollower follower = Follow();
  ASSERT_TRUE(follower.Start().ok());
  Append("x.log", "one\n");
  EXPECT_THAT(Read(follower), ElementsAre(Pair("x.log", "one")));
  Append("x.log", "two\n");
  Rename("x.log", "x.1.log");
  Append("x.log", "three\n");
  EXPECT_THAT(Read(follower), ElementsAre(Pair("x.log", "two"), Pair("x.log", "three")));
  Rename("x.1.log", "x.2.log");
  Rename("x.log", "x.1.log");
  Append("x.log", "four\n");
  EXPECT_THAT(Read(follower), ElementsAre(Pair("x.log", "four")));
}

TEST_F(FileFollowerTest, AFileMovedIntoPlaceIsNew) {
  FileFollower follower = Follow();
  ASSERT_TRUE(follower.Start().ok());
  for (const char* content : {"first\n", "other\n"}) {
    Append("gateway.tmp", content);
    Rename("gateway.tmp", "gateway");
    EXPECT_THAT(Read(follower), testing::Contains(Pair("gateway", std::string(content, 5))));
  }
}

TEST_F(FileFollowerTest, WhatCantBeLookedAtIsNotFollowed) {
  std::filesystem::create_symlink("loop", folder_.File("loop"));
  FileFollower follower = Follow();
  ASSERT_TRUE(follower.Start().ok());
  Append("x.log", "one\n");
  EXPECT_THAT(Read(follower), ElementsAre(Pair("x.log", "one")));
}

// A launcher that was held while the programs logged and went on: nothing is lost, and nothing is said twice.
TEST_F(FileFollowerTest, WhereNotAllWasToldEveryFileIsLookedAt) {
  Append("gateway.tmp", "before\n");
  Rename("gateway.tmp", "gateway");
  FileFollower follower = Follow();
  ASSERT_TRUE(follower.Start().ok());
  Append("x.log", "one\n");
  Append("y.log", "one of y\n");
  EXPECT_THAT(Read(follower), ElementsAre(Pair("x.log", "one"), Pair("y.log", "one of y")));
  folder_.FillQueue();
  Append("x.log", "two\n");
  Rename("x.log", "x.1.log");
  Append("x.log", "three\n");
  for (const char* content : {"second\n", "third,\n"}) {  // as long as what stood there
    Append("gateway.tmp", content);
    Rename("gateway.tmp", "gateway");
  }
  EXPECT_THAT(Read(follower),
              ElementsAre(Pair("gateway", "third,"), Pair("x.log", "two"), Pair("x.log", "three")));
  Append("x.log", "four\n");
  EXPECT_THAT(Read(follower), ElementsAre(Pair("x.log", "four")));
}

}  // namespace
}  // namespace quire::cli
