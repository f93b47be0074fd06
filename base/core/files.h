// Whole small files: read, and written so that a reader or a crash sees the old content or the new, never a
// part; folders; and what is said of a file that can't be had. Any thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quire {

// Unavailable: "can't WHAT PATH: why: what to do", for a call that left this errno.
absl::Status FileError(const char* what, const std::string& path, int error);

// Makes the folder (mode 0700), and those above it, where there is none.
absl::Status MakePrivateFolder(const std::string& path);

// NotFound: there is no such file. Unavailable: it can't be read, or is none (a FIFO, a device).
absl::StatusOr<std::string> ReadWholeFile(const std::string& path);

// Writes PATH.tmp with `mode`, syncs it, renames it to PATH and syncs the directory.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode);

// WriteFileAtomically, or a disk of a test's.
using FileWriter =
    std::function<absl::Status(const std::string& path, std::string_view content, mode_t mode)>;

}  // namespace quire
