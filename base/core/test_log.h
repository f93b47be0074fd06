// For tests only: what is logged while it stands, in a file that can be read. It swaps the process's logger,
// so it is made before the threads that log, and goes after them.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "base/core/files.h"
#include "base/core/log.h"
#include "base/core/log_options.h"

namespace quire {

class CapturedLog {
 public:
  CapturedLog() {
    std::string folder = testing::TempDir() + "/quire_captured_log_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    LogOptions options;
    options.file = File();
    InitLogging("test", options);
  }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;
  ~CapturedLog() {
    InitLogging("test");
    std::filesystem::remove_all(folder_);
  }

  std::string Text() const { return ReadWholeFile(File()).value_or(""); }
  // The lines of one event.
  int Count(std::string_view event) const {
    const std::string text = Text(), wanted = "\"event\":\"" + std::string(event) + "\"";
    int count = 0;
    for (size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + 1)) ++count;
    return count;
  }

 private:
  std::string File() const { return folder_ + "/log"; }

  std::string folder_;
};

}  // namespace quire
