#include "worker/parallel/group_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

constexpr int64_t kPage = 4096, kMiB = 1 << 20;

int64_t RoundUp(int64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }
constexpr int64_t kControlBytes = (sizeof(GroupControl) + kPage - 1) / kPage * kPage;

absl::Status ErrnoError(const std::string& what, int error) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<Fd> GroupName::Open() {
  MutexLock lock(&mutex_);
  if (given_up_) return absl::CancelledError("this process was told to end");
  Fd fd(shm_open(absl::StrCat("/", text_).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(absl::StrCat("can't open shared memory /dev/shm/", text_), errno);
  return fd;
}

void GroupName::Remove() const { shm_unlink(absl::StrCat("/", text_).c_str()); }

void GroupName::GiveUp() {
  MutexLock lock(&mutex_);
  given_up_ = true;
  Remove();
}

absl::StatusOr<std::unique_ptr<GroupMemory>> GroupMemory::Open(std::shared_ptr<GroupName> name) {
  QUIRE_ASSIGN_OR_RETURN(Fd fd, name->Open());
  std::unique_ptr<GroupMemory> memory(new GroupMemory(std::move(name), std::move(fd)));
  QUIRE_RETURN_IF_ERROR(memory->CheckOwner());
  const absl::Status reserved = memory->Reserve(0, kControlBytes);
  const absl::StatusOr<uint8_t*> control = reserved.ok() ? memory->Map(0, kControlBytes) : reserved;
  if (!control.ok()) {
    memory->Unlink();  // without its control part it is of use to nobody
    return control.status();
  }
  memory->control_ = reinterpret_cast<GroupControl*>(*control);
  return memory;
}

// Anybody may make a file in /dev/shm, and who can write this one can end the group or change its tokens.
absl::Status GroupMemory::CheckOwner() const {
  struct stat file {};
  if (fstat(fd_.get(), &file) != 0) return ErrnoError("can't look at shared memory", errno);
  if (file.st_uid == geteuid() && (file.st_mode & 077) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("/dev/shm/", name_->text(),
                   " was made by another user or is open to others: remove it, or give all "
                   "ranks of the group another --shm name"));
}

absl::Status GroupMemory::HoldPlace(int rank) const {
  struct flock place {};
  place.l_type = F_WRLCK;
  place.l_whence = SEEK_SET;
  place.l_start = rank;
  place.l_len = 1;
  if (fcntl(fd_.get(), F_OFD_SETLK, &place) == 0) return absl::OkStatus();
  if (errno == EAGAIN || errno == EACCES) return absl::AlreadyExistsError("another process has the place");
  return ErrnoError("can't lock a place in shared memory", errno);
}

bool GroupMemory::PlaceHeld(int rank) const {
  struct flock place {};
  place.l_type = F_WRLCK;
  place.l_whence = SEEK_SET;
  place.l_start = rank;
  place.l_len = 1;
  return fcntl(fd_.get(), F_OFD_GETLK, &place) != 0 || place.l_type != F_UNLCK;
}

GroupMemory::~GroupMemory() {
  if (control_ != nullptr) munmap(control_, kControlBytes);
  if (buffers_ != nullptr) munmap(buffers_, buffer_bytes_);
}

int64_t GroupMemory::BytesFor(const BufferSizes& sizes, int ranks) {
  return 2 * ranks * RoundUp(sizes.exchange_bytes) + RoundUp(sizes.plan_bytes);
}

absl::Status GroupMemory::MapBuffers(const BufferSizes& sizes, int ranks) {
  sizes_ = sizes;
  half_bytes_ = RoundUp(sizes.exchange_bytes);
  plan_bytes_ = RoundUp(sizes.plan_bytes);
  buffer_bytes_ = BytesFor(sizes, ranks);
  QUIRE_RETURN_IF_ERROR(Reserve(kControlBytes, buffer_bytes_));
  QUIRE_ASSIGN_OR_RETURN(buffers_, Map(kControlBytes, buffer_bytes_));
  return absl::OkStatus();
}

absl::Status GroupMemory::Reserve(int64_t offset, int64_t bytes) const {
  int error = EINTR;
  while (error == EINTR) error = posix_fallocate(fd_.get(), offset, bytes);
  if (error == 0) return absl::OkStatus();
  if (error != ENOSPC && error != ENOMEM && error != EFBIG) {
    return ErrnoError(absl::StrCat("can't reserve ", bytes, " bytes of shared memory"), error);
  }
  struct statvfs space {};
  const int64_t free =
      fstatvfs(fd_.get(), &space) == 0 ? static_cast<int64_t>(space.f_bavail * space.f_bsize) : 0;
  return absl::ResourceExhaustedError(absl::StrCat(
      "the ranks of a group need ", bytes, " bytes of shared memory here and ", free,
      " are free in /dev/shm: make it at least ", (offset + bytes + kMiB - 1) / kMiB,
      " MiB larger for each group (docker run --shm-size, mount -o remount,size=, Kubernetes: an emptyDir of "
      "medium Memory at /dev/shm), or give a smaller --max-batch-tokens or --max-sequences"));
}

absl::StatusOr<uint8_t*> GroupMemory::Map(int64_t offset, int64_t bytes) const {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), offset);
  if (memory == MAP_FAILED) return ErrnoError("can't map shared memory", errno);
  return static_cast<uint8_t*>(memory);
}

}  // namespace quire::worker
