#include "cli/file_follower.h"

#include <sys/inotify.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::cli {
namespace {

// x.log of x.log, x.1.log, x.12.log.
std::string NameOfLog(const std::string& file) {
  const size_t ending = file.rfind('.');
  if (ending == std::string::npos || ending == 0) return file;
  const size_t number = file.rfind('.', ending - 1);
  if (number == std::string::npos || number + 1 == ending) return file;
  for (size_t i = number + 1; i < ending; ++i) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(file[i]))) return file;
  }
  return file.substr(0, number) + file.substr(ending);
}

}  // namespace

absl::Status FileFollower::Start() {
  QUIRE_RETURN_IF_ERROR(watch_.Start(folder_, IN_MODIFY | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO));
  std::error_code error;
  std::filesystem::directory_iterator entry(folder_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    std::error_code unseen;
    if (!entry->is_regular_file(unseen)) continue;
    const auto size = static_cast<int64_t>(entry->file_size(unseen));
    if (!unseen) offsets_[entry->path().filename()] = size;
  }
  if (!error) return absl::OkStatus();
  watch_ = FolderWatch();
  return absl::UnavailableError(absl::StrCat("can't read the folder ", folder_, ": ", error.message()));
}

void FileFollower::ReadNew() {
  std::set<std::string> changed;
  std::string moved_from;
  watch_.Take([&](uint32_t event, const std::string& name) {
    if ((event & IN_MOVED_FROM) != 0) {
      moved_from = name;  // where it went comes next
      return;
    }
    if ((event & IN_MOVED_TO) != 0) OnMoved(moved_from, name);
    changed.insert(name);
  });
  // Names that sort first are older parts of a log: x.1.log stands before x.log.
  for (const std::string& file : changed) ReadFile(file);
}

// A log set aside is known, and read on from where it was; whatever else is moved into place is new.
void FileFollower::OnMoved(const std::string& from, const std::string& to) {
  const bool set_aside = from != to && NameOfLog(from) == NameOfLog(to);
  offsets_[to] = set_aside ? offsets_[from] : 0;
  offsets_.erase(from);
}

void FileFollower::ReadFile(const std::string& file) {
  std::ifstream input(folder_ + "/" + file, std::ios::binary | std::ios::ate);
  if (!input) return;
  int64_t& offset = offsets_[file];
  if (input.tellg() < offset) offset = 0;  // truncated by a new start
  input.seekg(offset);
  for (std::string line; std::getline(input, line) && !input.eof();) {
    offset += static_cast<int64_t>(line.size()) + 1;
    on_line_(NameOfLog(file), line);
  }
}

}  // namespace quire::cli
