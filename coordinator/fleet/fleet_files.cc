#include "coordinator/fleet/fleet_files.h"

#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"

namespace quire::coordinator {

std::string FleetFiles::Log(const std::string& group_id, size_t rank) const {
  return absl::StrCat(LogFolder(), "/", group_id, "-rank", rank, ".log");
}

std::string FleetFiles::Errors(const std::string& group_id, size_t rank) const {
  return absl::StrCat(LogFolder(), "/", group_id, "-rank", rank, ".err");
}

std::string FleetFiles::ShmPrefix() const {
  std::error_code error;
  const auto path = std::filesystem::weakly_canonical(data_dir, error);
  struct stat folder {};
  stat(data_dir.c_str(), &folder);
  return absl::StrCat("quire-", ToHex(Sha256(absl::StrCat(path.string(), "\n", folder.st_ino))).substr(0, 8),
                      "-");
}

std::string FleetFiles::ShmName(const std::string& group_id, uint64_t epoch) const {
  return absl::StrCat(ShmPrefix(), group_id, "-", epoch);
}

}  // namespace quire::coordinator
