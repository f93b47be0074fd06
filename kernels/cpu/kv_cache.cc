#include "kernels/cpu/kv_cache.h"

#include <cstring>

#include "base/core/hash.h"
#include "base/core/status.h"
#include "kernels/cpu/kernel_table.h"

namespace quire::kernels::cpu {

static_assert(kBlockTokens == kLanes, "a KV block is one vector of keys");

namespace {

int64_t PaddedDim(int64_t head_dim) { return (head_dim + kLanes - 1) / kLanes * kLanes; }

}  // namespace

KvCache::KvCache(const KvShape& shape, uint16_t* data)
    : shape_(shape),
      padded_dim_(PaddedDim(shape.head_dim)),
      key_size_(shape.head_dim * kLanes),
      page_size_(key_size_ + padded_dim_ * kLanes),
      data_(data) {}

absl::StatusOr<KvCache> KvCache::Create(const KvShape& shape, Arena& arena) {
  const int64_t page = (shape.head_dim + PaddedDim(shape.head_dim)) * kLanes;
  QUIRE_ASSIGN_OR_RETURN(uint16_t * data,
                         arena.AllocateArray<uint16_t>(shape.layers * shape.blocks * shape.kv_heads * page));
  return KvCache(shape, data);
}

void KvCache::StoreKey(int64_t layer, int64_t block, int64_t head, int64_t slot, const uint16_t* row) {
  uint16_t* to = PageAt(layer, block, head) + slot * 2;
  for (int64_t i = 0; i < shape_.head_dim; i += 2) std::memcpy(to + i * kLanes, row + i, 4);
}

void KvCache::StoreValue(int64_t layer, int64_t block, int64_t head, int64_t slot, const uint16_t* row) {
  uint16_t* values = PageAt(layer, block, head) + key_size_;
  if (slot == 0) std::memset(values, 0, padded_dim_ * kLanes * sizeof(uint16_t));
  uint16_t* to = values + slot / 2 * padded_dim_ * 2 + slot % 2;
  for (int64_t i = 0; i < shape_.head_dim; ++i) to[i * 2] = row[i];
}

void KvCache::CopyBlock(int64_t layer, int64_t from, int64_t to) {
  std::memcpy(PageAt(layer, to, 0), PageAt(layer, from, 0), page_stride() * sizeof(uint16_t));
}

}  // namespace quire::kernels::cpu
