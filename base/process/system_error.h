// What is said of a system call that failed for want of something: descriptors, processes, memory. A plain
// function; any thread. Of a file that can't be had, base/core/files.h says it.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace quire {

// Unavailable: "WHAT: why: what to do", for a call that left this errno.
absl::Status SystemError(absl::string_view what, int error);

}  // namespace quire
