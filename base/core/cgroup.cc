#include "base/core/cgroup.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/files.h"

namespace quire {
namespace {

void AppendWithParents(const std::string& mount, absl::string_view path, std::vector<std::string>& folders) {
  while (true) {
    while (!path.empty() && path.back() == '/') path.remove_suffix(1);
    folders.push_back(absl::StrCat(mount, path));
    if (path.empty()) return;
    const size_t slash = path.rfind('/');
    path = slash == path.npos ? "" : path.substr(0, slash);
  }
}

}  // namespace

std::vector<std::string> CgroupFolders(absl::string_view controller, const std::string& root) {
  const std::string mounts = absl::StrCat(root, "/sys/fs/cgroup");
  std::vector<std::string> folders;
  const auto text = ReadWholeFile(absl::StrCat(root, "/proc/self/cgroup"));
  for (const absl::string_view line : absl::StrSplit(text.ok() ? *text : "0::/", '\n')) {
    // NUMBER:CONTROLLERS:PATH; v2 names no controller, and v1 may have several in one hierarchy.
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[0] == "0" && parts[1].empty()) AppendWithParents(mounts, parts[2], folders);
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    if (std::find(controllers.begin(), controllers.end(), controller) == controllers.end()) continue;
    AppendWithParents(absl::StrCat(mounts, "/", parts[1]), parts[2], folders);
    // The mount may name them in another order; a link of the controller's name leads to it.
    if (controllers.size() > 1) AppendWithParents(absl::StrCat(mounts, "/", controller), parts[2], folders);
  }
  return folders;
}

}  // namespace quire
