#include "base/core/files.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <utility>

namespace quire {
namespace {

// Returns the limit before. Writing beyond it fails, as on a full disk.
rlim_t SetFileSizeLimit(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlim_t before = std::exchange(limit.rlim_cur, bytes);
  setrlimit(RLIMIT_FSIZE, &limit);
  return before;
}

TEST(Files, WritesReadsAndReplaces) {
  const std::string path = testing::TempDir() + "/quire_files_test";
  ASSERT_TRUE(WriteFileAtomically(path, "one", 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(path, std::string(100'000, 'x'), 0600).ok());
  EXPECT_EQ(ReadWholeFile(path)->size(), 100'000u);
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_TRUE(WriteFileAtomically(path, "", 0600).ok());
  EXPECT_EQ(*ReadWholeFile(path), "");
}

TEST(Files, ALinkThatLiesInTheWayIsNotFollowed) {
  const std::string folder = testing::TempDir() + "/quire_files_test_links";
  std::filesystem::create_directory(folder);
  const std::string path = folder + "/file", precious = folder + "/precious";
  ASSERT_TRUE(WriteFileAtomically(precious, "kept", 0600).ok());
  for (const char* planted : {"/file.tmp", "/file"}) {
    std::filesystem::remove(path);
    std::filesystem::create_symlink(precious, folder + planted);
    ASSERT_TRUE(WriteFileAtomically(path, "new", 0600).ok());
    EXPECT_EQ(*ReadWholeFile(precious), "kept") << planted;
    EXPECT_FALSE(std::filesystem::is_symlink(path)) << planted;
  }
  std::filesystem::remove_all(folder);
}

// What fails at the first byte is no empty file: who reads it would take it for damaged, or for nothing.
TEST(Files, AFolderIsMadeSecretAndOneThatIsThereKeepsItsMode) {
  std::string root = testing::TempDir() + "/quire_folders_XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  const auto mode = [&] {
    struct stat status {};
    EXPECT_EQ(stat((root + "/a/b").c_str(), &status), 0);
    return status.st_mode & 0777;
  };
  ASSERT_TRUE(MakePrivateFolder(root + "/a/b").ok());
  EXPECT_EQ(mode(), 0700u);
  ASSERT_EQ(chmod((root + "/a/b").c_str(), 0750), 0);
  ASSERT_TRUE(MakePrivateFolder(root + "/a/b").ok());
  EXPECT_EQ(mode(), 0750u);
  std::filesystem::remove_all(root);
}

TEST(Files, WhyAFolderCantBeMadeDecidesWhatToDo) {
  std::string root = testing::TempDir() + "/quire_folders_XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  std::ofstream(root + "/file") << "x";
  const auto said = [](const std::string& path) { return std::string(MakePrivateFolder(path).message()); };
  EXPECT_NE(said(root + "/file").find("File exists: a folder belongs there"), std::string::npos);
  EXPECT_NE(said(root + "/file/data").find("Not a directory: a folder belongs there"), std::string::npos);
  const std::string under = said(root + "/file/deep/data");  // what can't be made is the one above it
  EXPECT_NE(under.find("/file/deep: Not a directory"), std::string::npos) << under;
  EXPECT_NE(said("/proc/quire").find("give another path"), std::string::npos);
  EXPECT_FALSE(MakePrivateFolder("").ok());
  std::filesystem::remove_all(root);
}

TEST(Files, WhatCannotBeReadIsNotEmpty) {
  const auto folder = ReadWholeFile(testing::TempDir());
  EXPECT_EQ(folder.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(folder.status().message().find("a file belongs there"), absl::string_view::npos);
}

// One would wait for a writer, the other has no end.
TEST(Files, WhatIsNoPlainFileIsNotRead) {
  const std::string fifo = testing::TempDir() + "/quire_files_fifo";
  std::filesystem::remove(fifo);
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& path : {fifo, std::string("/dev/zero")}) {
    const absl::Status refused = ReadWholeFile(path).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
    EXPECT_NE(refused.message().find("no plain file"), absl::string_view::npos) << refused;
  }
  EXPECT_FALSE(ReadWholeFile("/proc/self/status")->empty()) << "whose size is 0";
  std::filesystem::remove(fifo);
}

// On a full disk what was written in vain would take the room that others need.
TEST(Files, AWriteThatFailsLeavesNothingBehind) {
  const std::string path = testing::TempDir() + "/quire_files_test_full";
  ASSERT_TRUE(WriteFileAtomically(path, "old", 0600).ok());
  const auto before = SetFileSizeLimit(1 << 12);
  const absl::Status written = WriteFileAtomically(path, std::string(1 << 13, 'x'), 0600);
  SetFileSizeLimit(before);
  EXPECT_EQ(written.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(*ReadWholeFile(path), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST(Files, ARenameThatFailsLeavesNothingBehind) {
  const std::string path = testing::TempDir() + "/quire_files_test_folder";
  std::filesystem::create_directory(path);
  const absl::Status written = WriteFileAtomically(path, "x", 0600);
  EXPECT_EQ(written.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(written.message().find("directory"), std::string::npos) << written;
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
  std::filesystem::remove_all(path);
}

TEST(Files, SaysWhichFileIsMissing) {
  const auto missing = ReadWholeFile("/nonexistent/file");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(WriteFileAtomically("/nonexistent/file", "x", 0600).ok());
}

}  // namespace
}  // namespace quire
