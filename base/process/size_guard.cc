#include "base/process/size_guard.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/core/fd.h"
#include "base/core/status.h"

namespace quire {

absl::Status SizeGuard::Start() {
  QUIRE_RETURN_IF_ERROR(watch_.Start(folder_, IN_MODIFY));
  LimitAll();
  return absl::OkStatus();
}

void SizeGuard::Check() {
  std::set<std::string> changed;
  if (!watch_.Take([&](uint32_t, const std::string& file) { changed.insert(file); })) return LimitAll();
  for (const std::string& name : changed) Limit(name);
}

void SizeGuard::LimitAll() const {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    Limit(entry->path().filename());
  }
}

void SizeGuard::Limit(const std::string& name) const {
  if (!absl::EndsWith(name, ending_)) return;
  const Fd file(open((folder_ + "/" + name).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  struct stat now {};
  if (!file.valid() || fstat(file.get(), &now) != 0 || now.st_size <= limit_bytes_) return;
  if (ftruncate(file.get(), 0) != 0) return;
  const std::string note = absl::StrCat("(emptied: it had passed ", limit_bytes_, " bytes)\n");
  (void)!write(file.get(), note.data(), note.size());
}

}  // namespace quire
