#include "kernels/cuda/lt/lt_cache_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/clock.h"
#include "base/core/fd.h"
#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::kernels::cuda {
namespace {

// Before a byte of it is read: whoever may write there may have put a disk's worth of bytes.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) == 0 && found.st_size > static_cast<off_t>(kMostLtCacheBytes)) {
    return absl::InvalidArgumentError("it is too large");
  }
  return ReadWholeFile(path);
}

void LogMissing(const LtChoice& choice) {
  if (!choice.algorithm.empty()) return;
  const char* why =
      choice.candidates == 0 ? "cuBLASLt has none that sums as decode does" : "none of cuBLASLt's ran";
  Log(LogLevel::kWarn, "no_library_product", "m", choice.shape.m, "n", choice.shape.n, "k", choice.shape.k,
      "leaves", choice.shape.leaves, "reason", why, "instead", "the decode GEMM, slower");
}

// At each tenth, and how long it took.
class LoggedProgress {
 public:
  void operator()(int done, int of) {
    if (done == 0) started_us_ = SystemClock().NowUs();
    if (done == of) {
      return Log(LogLevel::kInfo, "matmuls_chosen", "timed", of, "ms",
                 (SystemClock().NowUs() - started_us_) / 1000);
    }
    const int tenth = 10 * done / of;
    if (done > 0 && tenth == tenth_) return;
    tenth_ = tenth;
    Log(LogLevel::kInfo, "loading", "what", absl::StrCat("choosing matmuls: ", done, " of ", of));
  }

 private:
  int64_t started_us_ = 0;
  int tenth_ = 0;
};

}  // namespace

LtChoicesOptions LoggedChoices(const std::string& folder, LtCacheKey key) {
  LtChoicesOptions options{.chose = &LogMissing, .progress = LoggedProgress()};
  if (folder.empty()) return options;
  const auto file = std::make_shared<const LtCacheFile>(folder, std::move(key));
  options.load = [file] { return file->Load(); };
  options.store = [file](const LtKept& kept) { file->Store(kept); };
  return options;
}

LtCacheFile::LtCacheFile(std::string folder, LtCacheKey key)
    : folder_(std::move(folder)),
      key_(std::move(key)),
      path_(folder_ + "/" + ToHex(Sha256(LtCacheHead(key_))).substr(0, 16) + ".matmuls") {}

LtKept LtCacheFile::Load() const {
  absl::StatusOr<std::string> text = ReadSmallFile(path_);
  if (absl::IsNotFound(text.status())) return {};
  absl::StatusOr<LtKept> kept = text.ok() ? ReadLtCache(*text, key_) : text.status();
  if (kept.ok()) return *std::move(kept);
  Log(LogLevel::kWarn, "matmul_cache_ignored", "file", path_, "reason", MessageOf(kept.status()));
  return {};
}

void LtCacheFile::Store(const LtKept& kept) const {
  const absl::Status stored = TryStore(kept);
  if (stored.ok()) return;
  Log(LogLevel::kWarn, "matmul_cache_not_written", "file", path_, "reason", MessageOf(stored), "instead",
      "matmuls are chosen anew at the next start");
}

absl::Status LtCacheFile::TryStore(const LtKept& kept) const {
  QUIRE_RETURN_IF_ERROR(MakePrivateFolder(folder_));
  const std::string lock_path = path_ + ".lock";
  const Fd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return FileError("open", lock_path, errno);
  // Until the file beside it is closed. Whoever holds it may never end, and a start must: it most likely
  // writes the same, as a rank of this one's group.
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FileError("lock", lock_path, errno);
    return absl::UnavailableError(absl::StrCat(lock_path, " is held by another process, which writes it"));
  }
  LtKept all = kept;
  const LtKept before = Load();
  if (before.size() + kept.size() <= kMostLtCacheShapes) all.insert(before.begin(), before.end());
  if (all == before) return absl::OkStatus();
  return WriteFileAtomically(path_, WriteLtCache(key_, all), 0600);
}

}  // namespace quire::kernels::cuda
