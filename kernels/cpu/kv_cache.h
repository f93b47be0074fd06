// The paged K and V of one rank: [layer][block][KV head] pages of 16 positions. A page is K as
// [head_dim/2][16 positions][2] followed by V as [8 position pairs][padded head_dim][2], both bf16, so that a
// vector of 16 keys meets a pair of dimensions and a vector of 16 dimensions meets a pair of positions.
// Writing a block's first position zeroes its V: positions not yet written are finite, and their exact-zero
// softmax weights make them vanish. The engine's thread owns it; threads may store different heads at a time.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cpu/arena.h"

namespace quire::kernels::cpu {

class KvCache {
 public:
  // `shape` has passed CheckKvShape.
  static absl::StatusOr<KvCache> Create(const KvShape& shape, Arena& arena);

  const KvShape& shape() const { return shape_; }
  // The page of block 0; block b's is b * page_stride() elements on.
  const uint16_t* pages(int64_t layer, int64_t head) const { return PageAt(layer, 0, head); }
  int64_t page_stride() const { return shape_.kv_heads * page_size_; }

  // Rows are bf16 [head_dim]; slot is the position within the block.
  void StoreKey(int64_t layer, int64_t block, int64_t head, int64_t slot, const uint16_t* row);
  void StoreValue(int64_t layer, int64_t block, int64_t head, int64_t slot, const uint16_t* row);
  // All heads of one layer.
  void CopyBlock(int64_t layer, int64_t from, int64_t to);

 private:
  KvCache(const KvShape& shape, uint16_t* data);
  uint16_t* PageAt(int64_t layer, int64_t block, int64_t head) const {
    return data_ + ((layer * shape_.blocks + block) * shape_.kv_heads + head) * page_size_;
  }

  KvShape shape_;
  int64_t padded_dim_, key_size_, page_size_;  // elements
  uint16_t* data_;
};

}  // namespace quire::kernels::cpu
