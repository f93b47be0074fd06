// For tests of what is told of a folder's files: a folder of their own, which goes with it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace quire {

class TestFolder {
 public:
  TestFolder() : path_(testing::TempDir() + "/quire_folder_XXXXXX") {
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  ~TestFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  void Append(const std::string& file, const std::string& text) const {
    std::ofstream(File(file), std::ios::app) << text;
  }
  void Rename(const std::string& from, const std::string& to) const {
    std::filesystem::rename(File(from), File(to));
  }
  // More than the kernel remembers for one who doesn't look: two files in turn, since an event like the last
  // one is no event.
  void FillQueue() const {
    int most = 0;
    std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> most;
    ASSERT_GT(most, 0);
    std::ofstream first(File("first.noise"), std::ios::app), second(File("second.noise"), std::ios::app);
    for (int i = 0; i <= most / 2; ++i) {
      first << "x" << std::flush;
      second << "x" << std::flush;
    }
  }

 private:
  std::string path_;
};

}  // namespace quire
