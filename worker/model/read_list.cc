#include "worker/model/read_list.h"

#include <algorithm>

namespace quire::worker {
namespace {

// A shorter gap is read along. A fast disk reads some 10 KiB in the time that one more request takes it, one
// behind a network 60 KiB.
constexpr int64_t kWorthSkipping = 16 << 10;

// Of one request the kernel may take no more than a disk's read-ahead, 32 pages where nobody changed it, and
// forget the rest: those hold a piece wherever it begins.
constexpr int64_t kPiece = 31 << 12;

}  // namespace

ReadList::ReadList(const StoredTensors& tensors, const WeightPlan& plan, bool whole_rows) {
  plan.ForEach([&](const auto& item) {
    if (item.parts.empty()) return;
    ItemEnd end = item_ends_.back();
    for (const TensorSlice& slice : item.parts) {
      const auto found = tensors.find(slice.name);
      if (found == tensors.end()) continue;
      const StoredTensor& tensor = found->second;
      const int64_t element = ElementBytes(tensor.type);
      const int64_t row = (slice.shape.size() > 1 ? slice.shape[1] : 1) * element;
      const int64_t size = slice.cols.size() * element, rows = slice.rows.size();
      Part part{tensor.bytes.data() + slice.rows.begin * row + slice.cols.begin * element, size, row, rows};
      if (whole_rows || row - size < kWorthSkipping) part = {part.first, (rows - 1) * row + size, 0, 1};
      parts_.push_back(part);
      end.own += rows * size;
      end.read += part.size * part.count;
    }
    item_ends_.push_back(end);
  });
}

std::optional<ReadList::Bytes> ReadList::Next() {
  if (part_ == parts_.size()) return std::nullopt;
  const Part& part = parts_[part_];
  const Bytes piece(part.first + stretch_ * part.stride + offset_, std::min(kPiece, part.size - offset_));
  offset_ += std::ssize(piece);
  if (offset_ == part.size) {
    offset_ = 0;
    if (++stretch_ == part.count) {
      stretch_ = 0;
      ++part_;
    }
  }
  return piece;
}

}  // namespace quire::worker
