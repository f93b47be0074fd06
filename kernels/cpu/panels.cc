#include "kernels/cpu/panels.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/kernel_table.h"

namespace quire::kernels::cpu {
namespace {

constexpr int64_t kStripBytes = 64;  // of a step: a pair of k's in bf16, four in int8, of 16 rows

int64_t StripsOf(int64_t rows) { return (rows + kLanes - 1) / kLanes; }

// Interleaves up to 16 rows of `steps` steps of 4 bytes: step s of row r goes to out + s * stride + 4 * r.
// Reads 16 streams and writes whole cache lines.
void PackStrip(const uint8_t* const* rows, int64_t count, int64_t steps, int64_t stride, uint8_t* out) {
  for (int64_t step = 0; step < steps; ++step, out += stride) {
    if (count == kLanes) {
      for (int64_t r = 0; r < kLanes; ++r) std::memcpy(out + 4 * r, rows[r] + 4 * step, 4);
    } else {
      for (int64_t r = 0; r < count; ++r) std::memcpy(out + 4 * r, rows[r] + 4 * step, 4);
    }
  }
}

void PackBf16Strip(const TallMatrix& source, int64_t first, int64_t count, int64_t stride, uint8_t* out) {
  const uint8_t* rows[kLanes];
  for (int64_t r = 0; r < count; ++r) rows[r] = reinterpret_cast<const uint8_t*>(source.bf16(first + r));
  const int64_t pairs = source.k / 2;
  PackStrip(rows, count, pairs, stride, out);
  if (source.k % 2 == 0) return;
  for (int64_t r = 0; r < count; ++r) std::memcpy(out + pairs * stride + 4 * r, rows[r] + 4 * pairs, 2);
}

// A leaf's scales and weights of up to 16 rows, which stand side by side with the panel's other strips.
struct LeafPlace {
  uint8_t *scales, *weights;
  int64_t leaf, strips;
};
void PackInt8Strip(const TallMatrix& source, int64_t first, int64_t count, const LeafPlace& to) {
  const int64_t leaf_k = source.k / source.leaves, groups = leaf_k / source.group;
  const uint8_t* rows[kLanes];
  for (int64_t r = 0; r < count; ++r) {
    rows[r] = reinterpret_cast<const uint8_t*>(source.int8(first + r)) + to.leaf * leaf_k;
    const uint16_t* scales = source.scales(first + r) + to.leaf * groups;
    for (int64_t g = 0; g < groups; ++g) {
      std::memcpy(to.scales + (g * to.strips * kLanes + r) * 2, scales + g, 2);
    }
  }
  const int64_t stride = to.strips * kStripBytes;
  PackStrip(rows, count, leaf_k / 4, stride, to.weights);
  for (int64_t step = 0; step < leaf_k / 4; ++step) {  // -128 .. 127 becomes 0 .. 255
    for (int64_t i = 0; i < kStripBytes; ++i) to.weights[step * stride + i] ^= 0x80;
  }
}

}  // namespace

TallMatrix::Place TallMatrix::Find(int64_t row) const {
  size_t part = 0;
  while (row >= parts_[part].rows) row -= parts_[part++].rows;
  return {parts_[part], row};
}

const uint16_t* TallMatrix::bf16(int64_t row) const {
  const Place place = Find(row);
  return place.part.bf16(place.row);
}

const int8_t* TallMatrix::int8(int64_t row) const {
  const Place place = Find(row);
  return place.part.int8(place.row);
}

const uint16_t* TallMatrix::scales(int64_t row) const {
  const Place place = Find(row);
  return place.part.scales + place.row * (k / group);
}

int64_t PanelBytes(const TallMatrix& source, int64_t strips) {
  if (source.group == 0) return (source.k + 1) / 2 * strips * kStripBytes;
  const int64_t leaf_k = source.k / source.leaves;
  return source.leaves * (Int8ScaleBytes(leaf_k / source.group, strips) + leaf_k / 4 * strips * kStripBytes);
}

uint8_t* PackPanel(const TallMatrix& source, int64_t first, int64_t rows, uint8_t* out) {
  const int64_t strips = StripsOf(rows), leaf_bytes = PanelBytes(source, strips) / source.leaves;
  for (int64_t strip = 0; strip < strips; ++strip) {
    const int64_t row = first + strip * kLanes, count = std::min(kLanes, rows - strip * kLanes);
    if (source.group == 0) {
      PackBf16Strip(source, row, count, strips * kStripBytes, out + strip * kStripBytes);
      continue;
    }
    const int64_t scale_bytes = Int8ScaleBytes(source.k / source.leaves / source.group, strips);
    for (int64_t leaf = 0; leaf < source.leaves; ++leaf) {
      uint8_t* const at = out + leaf * leaf_bytes;
      PackInt8Strip(source, row, count,
                    {at + strip * kLanes * 2, at + scale_bytes + strip * kStripBytes, leaf, strips});
    }
  }
  return out + PanelBytes(source, strips);
}

}  // namespace quire::kernels::cpu
