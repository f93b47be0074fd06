#include "cli/places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/process/child.h"

namespace quire::cli {
namespace {

using testing::HasSubstr;

class PlacesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/quire_places_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
    data_ = root_ + "/data";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Put(const std::string& name) {
    std::filesystem::create_directories(data_);
    std::ofstream(data_ + "/" + name) << "x";
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  std::string root_, data_;
};

TEST_F(PlacesTest, AFolderOfSomebodyElseIsRefused) {
  EXPECT_TRUE(CheckDataFolder(data_).ok()) << "there is none yet";
  std::filesystem::create_directories(data_);
  EXPECT_TRUE(CheckDataFolder(data_).ok()) << "an empty one";
  for (const char* ours : {"logs", "run", "lost+found"})
    std::filesystem::create_directory(data_ + "/" + ours);
  EXPECT_TRUE(CheckDataFolder(data_).ok()) << "one that we left before a coordinator had it";
  Put("thesis.txt");
  const absl::Status refused = CheckDataFolder(data_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("thesis.txt"));
  Put("lock");
  EXPECT_TRUE(CheckDataFolder(data_).ok()) << "the operator's notes beside our files";
}

TEST_F(PlacesTest, AFileIsNoDataFolder) {
  std::ofstream(data_) << "x";
  EXPECT_THAT(std::string(CheckDataFolder(data_).message()), HasSubstr(data_));
}

TEST_F(PlacesTest, ABackupOfTheBooksIsADataFolder) {
  Put("ledger.db");
  EXPECT_TRUE(CheckDataFolder(data_).ok());
}

TEST_F(PlacesTest, AFolderThatCantBeWrittenSaysWhy) {
  EXPECT_TRUE(CheckWritable(root_).ok());
  EXPECT_TRUE(std::filesystem::is_empty(root_)) << "the trial leaves nothing";
  EXPECT_THAT(std::string(CheckWritable(root_ + "/none").message()), HasSubstr("No such file"));
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const struct rlimit small { 4096, before.rlim_max };
  std::signal(SIGXFSZ, SIG_IGN);  // as on a disk that gets full: the first writes pass
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status full = CheckWritable(root_);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_DFL);
  EXPECT_THAT(std::string(full.message()), HasSubstr("File too large: make room"));
  std::ofstream(root_ + "/.trial") << "as where it was killed";
  EXPECT_TRUE(CheckDataFolder(root_).ok());
  EXPECT_TRUE(CheckWritable(root_).ok());
  EXPECT_TRUE(std::filesystem::is_empty(root_));
  std::filesystem::create_directory(root_ + "/.trial");
  EXPECT_THAT(std::string(CheckWritable(root_).message()), HasSubstr("move it away"));
}

TEST_F(PlacesTest, AFolderThatACoordinatorHasIsNotOurs) {
  EXPECT_TRUE(CheckNobodyHas(data_).ok());
  Put("lock");
  EXPECT_TRUE(CheckNobodyHas(data_).ok()) << "nobody holds it";
  const Fd lock(open((data_ + "/lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(lock.get(), LOCK_EX | LOCK_NB), 0);
  const absl::Status refused = CheckNobodyHas(data_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("stop it"));
}

TEST_F(PlacesTest, AReadyFileThatCantBeWrittenIsSaidBeforehand) {
  EXPECT_TRUE(CheckReadyFile("").ok());
  EXPECT_TRUE(CheckReadyFile(root_ + "/ready").ok());
  EXPECT_TRUE(std::filesystem::is_empty(root_)) << "the trial leaves nothing";
  EXPECT_THAT(std::string(CheckReadyFile(root_ + "/none/ready").message()), HasSubstr("No such file"));
  EXPECT_THAT(std::string(CheckReadyFile(root_).message()), HasSubstr("a file belongs there"));
}

// In a folder that others may write to, such as /tmp, a name that can be guessed may be somebody's link.
TEST_F(PlacesTest, ALinkThatLiesInTheWayIsNotFollowed) {
  for (const bool dangles : {false, true}) {
    const std::string elsewhere = root_ + (dangles ? "/none" : "/precious");
    if (!dangles) std::ofstream(elsewhere) << "kept";
    std::filesystem::create_symlink(elsewhere, root_ + "/ready.tmp");
    EXPECT_TRUE(CheckReadyFile(root_ + "/ready").ok());
    EXPECT_EQ(std::filesystem::exists(elsewhere), !dangles);
    EXPECT_FALSE(std::filesystem::is_symlink(root_ + "/ready.tmp")) << "a trial that found it is gone";
  }
  EXPECT_EQ(std::filesystem::file_size(root_ + "/precious"), 4u);
  std::filesystem::create_directory(root_ + "/ready.tmp");  // what can't be moved away is not used either
  EXPECT_THAT(CheckReadyFile(root_ + "/ready").ToString(), testing::HasSubstr("File exists"));
}

TEST_F(PlacesTest, AFormerReadyFileGoes) {
  std::ofstream(root_ + "/ready") << "{}";
  RemoveReadyFile(root_ + "/ready");
  EXPECT_FALSE(std::filesystem::exists(root_ + "/ready"));
  RemoveReadyFile(root_);
  EXPECT_TRUE(std::filesystem::exists(root_));
}

}  // namespace
}  // namespace quire::cli
