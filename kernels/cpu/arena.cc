#include "kernels/cpu/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::kernels::cpu {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kRegion = int64_t{256} << 20;
constexpr int64_t kLine = 64;

constexpr int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

Arena::~Arena() {
  for (const Region& region : regions_) munmap(region.address, region.bytes);
}

absl::Status Arena::Map(int64_t bytes) {
  const int64_t size = RoundUp(std::max(bytes, kRegion), kHugePage) + kHugePage;
  void* address =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot map ", size,
                                                     " bytes for weights or cache: ", std::strerror(errno),
                                                     "; use a smaller model or KV cache"));
  }
  regions_.push_back({address, static_cast<size_t>(size)});
  const int64_t start = RoundUp(reinterpret_cast<int64_t>(address), kHugePage);
  next_ = reinterpret_cast<std::byte*>(start);
  left_ = reinterpret_cast<int64_t>(address) + size - start;
  madvise(next_, left_, MADV_HUGEPAGE);  // a wish: without huge pages everything works, some 10 % slower
  return absl::OkStatus();
}

absl::StatusOr<void*> Arena::Allocate(int64_t bytes) {
  const int64_t size = RoundUp(bytes, kLine);
  if (size > left_) QUIRE_RETURN_IF_ERROR(Map(size));
  void* memory = next_;
  next_ += size;
  left_ -= size;
  return memory;
}

}  // namespace quire::kernels::cpu
