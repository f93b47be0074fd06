#include "kernels/cuda/device/peer_memory_fiber.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace quire::kernels::cuda {
namespace {

std::byte* Map(Stream& stream, int file, size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory != MAP_FAILED) return static_cast<std::byte*>(memory);
  stream.Record("can't map memory that ranks share");
  return nullptr;
}

}  // namespace

PeerMemory::PeerMemory(Stream& stream, size_t bytes)
    : bytes_(bytes), file_(memfd_create("quire-peer-memory", MFD_CLOEXEC)) {
  if (file_ < 0 || ftruncate(file_, static_cast<off_t>(bytes)) != 0) {
    stream.Record("can't make memory that ranks share");
    return;
  }
  data_ = Map(stream, file_, bytes);
  handle_ = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(file_);
}

PeerMemory::~PeerMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
  if (file_ >= 0) close(file_);
}

PeerView::PeerView(Stream& stream, const std::string& handle, size_t bytes) : bytes_(bytes) {
  const int file = open(handle.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) {
    stream.Record("can't open another rank's memory " + handle);
    return;
  }
  data_ = Map(stream, file, bytes);
  close(file);
}

PeerView::~PeerView() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace quire::kernels::cuda
