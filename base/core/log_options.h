// Where a program's log goes and how large it may grow: each option declared once, for all programs, and
// handed on to those that a program starts. Plain data, filled by main before any thread starts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/options.h"

namespace quire {

struct LogOptions {
  std::string level = "info", file;  // no file: stderr
  int64_t max_mb = 16, files = 4;    // per file; of them, with the one that is written

  void Declare(Options& options);
  // Without the file: for a program whose children have logs.
  void DeclareLimits(Options& options);
  // The flags with which a child logs as we do, to a file of its own.
  std::vector<std::string> FlagsFor(const std::string& log_file) const;
};

// Call once in main. A file that can't be written leaves the log on stderr, with a line that says so.
void InitLogging(std::string_view component, const LogOptions& options);

}  // namespace quire
