#include "kernels/communicator.h"

namespace quire::kernels {
namespace {

std::span<uint8_t> BytesAt(float* data, int64_t count) {
  return {reinterpret_cast<uint8_t*>(data), static_cast<size_t>(count) * sizeof(float)};
}

}  // namespace

absl::Status Communicator::GatherColumns(Tensor x, std::span<const int64_t> columns) {
  ByteSpans mine;
  std::vector<ByteSpans> into(rank() == 0 ? columns.size() : 0);
  for (int64_t row = 0; row < x.rows; ++row) {
    if (rank() != 0) {
      mine.push_back(BytesAt(x.f32(row), columns[rank()]));
      continue;
    }
    float* to = x.f32(row) + columns[0];
    for (size_t r = 1; r < columns.size(); to += columns[r++]) into[r].push_back(BytesAt(to, columns[r]));
  }
  return Gather(mine, into);
}

absl::Status Communicator::Broadcast(Tensor /*x*/) {
  return absl::UnimplementedError("this exchange broadcasts nothing");
}

}  // namespace quire::kernels
