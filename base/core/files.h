// Whole small files: read, and written so that a reader or a crash sees the old content or the new, never a
// part. Any thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quire {

// NotFound: there is no such file. Unavailable: it can't be read.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path);

// Writes PATH.tmp with `mode`, syncs it, renames it to PATH and syncs the directory.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode);

// WriteFileAtomically, or a disk of a test's.
using FileWriter =
    std::function<absl::Status(const std::string& path, std::string_view content, mode_t mode)>;

}  // namespace quire
