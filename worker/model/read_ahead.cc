#include "worker/model/read_ahead.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace quire::worker {
namespace {

// Skipping less than this costs a disk as much as reading it.
constexpr int64_t kWorthSkipping = 64 << 10;

// The slice's bytes as they lie in the file, in order: one part where whole rows are taken, or where what
// lies between is little.
void AddParts(const StoredTensor& tensor, const TensorSlice& slice, std::vector<ReadAhead::Bytes>& out) {
  const int64_t element = ElementBytes(tensor.type);
  const int64_t row = (slice.shape.size() > 1 ? slice.shape[1] : 1) * element;
  const int64_t begin = slice.cols.begin * element, size = slice.cols.size() * element;
  if (row - size < kWorthSkipping) {
    const int64_t first = slice.rows.begin * row;
    out.push_back(tensor.bytes.subspan(first, slice.rows.size() * row));
    return;
  }
  for (int64_t r = slice.rows.begin; r < slice.rows.end; ++r) {
    out.push_back(tensor.bytes.subspan(r * row + begin, size));
  }
}

}  // namespace

ReadAhead::ReadAhead(const Safetensors& files, const WeightPlan& plan, int64_t window_bytes, Advise advise)
    : window_bytes_(window_bytes), advise_(std::move(advise)) {
  int64_t total = 0;
  plan.ForEach([&](const auto& item) {
    if (item.parts.empty()) return;
    std::vector<Bytes> parts;
    for (const TensorSlice& slice : item.parts) {
      if (const auto tensor = files.Find(slice.name); tensor.ok()) AddParts(*tensor, slice, parts);
    }
    for (const Bytes& part : parts) {
      parts_.push_back({part, total});
      total += std::ssize(part);
    }
    item_ends_.push_back(total);
  });
  OnLoaded(0);
}

void ReadAhead::OnLoaded(int64_t items) {
  const int64_t loaded = items == 0 ? 0 : item_ends_[static_cast<size_t>(items) - 1];
  for (; next_ < parts_.size() && parts_[next_].before < loaded + window_bytes_; ++next_) {
    advise_(parts_[next_].bytes);
  }
}

void ReadAhead::AdviseKernel(Bytes bytes) {
  static const auto kPage = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) / kPage * kPage;
  const auto end = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size();
  // Where it fails, the pages are read when they are touched.
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

}  // namespace quire::worker
