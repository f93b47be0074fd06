#include "cli/file_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

namespace quire::cli {
namespace {

using testing::ElementsAre;
using testing::Pair;

class FileFollowerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/quire_follower_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Append(const std::string& file, const std::string& text) {
    std::ofstream(folder_ + "/" + file, std::ios::app) << text;
  }
  void Rename(const std::string& from, const std::string& to) {
    std::filesystem::rename(folder_ + "/" + from, folder_ + "/" + to);
  }
  std::vector<std::pair<std::string, std::string>> Read(FileFollower& follower) {
    lines_.clear();
    follower.ReadNew();
    return lines_;
  }
  FileFollower Follow() {
    return FileFollower(folder_,
                        [this](const auto& file, const auto& line) { lines_.emplace_back(file, line); });
  }

  std::string folder_;
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
  std::filesystem::create_symlink("loop", folder_ + "/loop");
  FileFollower follower = Follow();
  ASSERT_TRUE(follower.Start().ok());
  Append("x.log", "one\n");
  EXPECT_THAT(Read(follower), ElementsAre(Pair("x.log", "one")));
}

}  // namespace
}  // namespace quire::cli
