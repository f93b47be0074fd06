#include "cli/file_follower.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <utility>

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
    if (!unseen) seen_[entry->path().filename()] = {IdOf(entry->path()), size};
  }
  if (!error) return absl::OkStatus();
  watch_ = FolderWatch();
  return absl::UnavailableError(absl::StrCat("can't read the folder ", folder_, ": ", error.message()));
}

FileFollower::FileId FileFollower::IdOf(const std::string& path) {
  struct statx file {};
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_INO | STATX_BTIME, &file) != 0) return {};
  if ((file.stx_mask & STATX_BTIME) == 0) return {file.stx_ino, 0};
  return {file.stx_ino, file.stx_btime.tv_sec * 1'000'000'000 + file.stx_btime.tv_nsec};
}

void FileFollower::ReadNew() {
  std::vector<Event> events;
  const bool told_all = watch_.Take([&](uint32_t what, const std::string& file) {
    events.push_back({what, file});
  });
  // Names that sort first are older parts of a log: x.1.log stands before x.log.
  for (const std::string& file : told_all ? Changed(events) : FindAgain()) ReadFile(file);
}

std::set<std::string> FileFollower::Changed(const std::vector<Event>& events) {
  std::set<std::string> changed;
  std::string moved_from;
  for (const auto& [what, file] : events) {
    if ((what & IN_MOVED_FROM) != 0) {
      moved_from = file;  // where it went comes next
      continue;
    }
    if ((what & IN_MOVED_TO) != 0) OnMoved(moved_from, file);
    changed.insert(file);
  }
  return changed;
}

// A log set aside is known, and read on from where it was; whatever else is moved into place is new.
void FileFollower::OnMoved(const std::string& from, const std::string& to) {
  const bool set_aside = from != to && NameOfLog(from) == NameOfLog(to);
  seen_[to] = set_aside ? seen_[from] : Seen();
  seen_.erase(from);
}

// The same in the end, of whatever happened.
std::set<std::string> FileFollower::FindAgain() {
  std::map<std::pair<std::string, FileId>, int64_t> known;
  for (const auto& [file, seen] : seen_) known[{NameOfLog(file), seen.id}] = seen.offset;
  seen_.clear();
  std::set<std::string> all;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string file = entry->path().filename();
    const FileId id = IdOf(entry->path());
    const auto before = known.find({NameOfLog(file), id});
    seen_[file] = {id, before == known.end() ? 0 : before->second};
    all.insert(file);
  }
  return all;
}

void FileFollower::ReadFile(const std::string& file) {
  const std::string path = folder_ + "/" + file;
  std::ifstream input(path, std::ios::binary | std::ios::ate);
  if (!input) return;
  Seen& seen = seen_[file];
  seen.id = IdOf(path);
  if (input.tellg() < seen.offset) seen.offset = 0;  // truncated by a new start
  input.seekg(seen.offset);
  for (std::string line; std::getline(input, line) && !input.eof();) {
    seen.offset += static_cast<int64_t>(line.size()) + 1;
    on_line_(NameOfLog(file), line);
  }
}

}  // namespace quire::cli
