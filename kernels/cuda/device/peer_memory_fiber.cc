#include "kernels/cuda/device/peer_memory_fiber.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/cuda/device/this_process.h"

namespace quire::kernels::cuda {
namespace {

struct FiberMemoryName {
  ProcessName process;
  int file = -1;
  std::byte* address = nullptr;  // within that process
};

std::byte* Map(Stream& stream, int file, size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory != MAP_FAILED) return static_cast<std::byte*>(memory);
  stream.Record("can't map memory that ranks share");
  return nullptr;
}

}  // namespace

PeerMemory::PeerMemory(Stream& stream, size_t bytes) : file_(memfd_create("quire-peer-memory", MFD_CLOEXEC)) {
  if (!file_.valid() || ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0) {
    stream.Record("can't make memory that ranks share");
    return;
  }
  data_ = Map(stream, file_.get(), bytes);
  const FiberMemoryName name{ThisProcess(), file_.get(), data_};
  handle_.assign(reinterpret_cast<const char*>(&name), sizeof name);
}

PeerView::PeerView(Stream& stream, const std::string& handle, size_t bytes) {
  FiberMemoryName name;
  if (handle.size() == sizeof name) std::memcpy(&name, handle.data(), sizeof name);
  const ProcessName here = ThisProcess();
  if (here == name.process) {
    data_ = name.address;
    return;
  }
  const std::string path = "/proc/" + std::to_string(name.process.pid) + "/fd/" + std::to_string(name.file);
  const Fd file(here.SameSpace(name.process) ? open(path.c_str(), O_RDWR | O_CLOEXEC) : -1);
  if (!file.valid()) {
    stream.Record("another rank's memory is on another host, or it has none to share");
    return;
  }
  data_ = Map(stream, file.get(), bytes);
  mapped_bytes_ = data_ == nullptr ? 0 : bytes;
}

PeerView::~PeerView() {
  if (mapped_bytes_ > 0) munmap(data_, mapped_bytes_);
}

}  // namespace quire::kernels::cuda
