// Where the limits of this process's cgroup stand, and of those around it, each of which holds too: of the
// one hierarchy of cgroups v2 and of a controller's own of v1. A function without state, any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace quire {

// Folders that may hold a file of `controller` ("cpu", "memory"), from the innermost cgroup outwards, whether
// they are there or not: a container often sees its own cgroup as the outermost. `root` holds proc and sys.
std::vector<std::string> CgroupFolders(absl::string_view controller, const std::string& root = "");

}  // namespace quire
