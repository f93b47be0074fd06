// The KV cache's blocks as numbers: who refers to each, and which are idle. A BlockRef is one reference; the
// last one to go returns its block, so that a block can't leak. Idle blocks wait in the order of their reuse:
// those that hold nothing of use first, then the kept ones (a prefix that may be asked for again), least
// recently released first. Owned by the prefix cache; engine thread only. What always holds: idle blocks =
// blocks without a reference.
#pragma once

#include <cstdint>
#include <list>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace quire::worker {

class BlockPool;

// One counted reference, or none. Copying adds one. Must not outlive the pool.
class BlockRef {
 public:
  BlockRef() = default;
  BlockRef(const BlockRef& other);
  BlockRef(BlockRef&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), id_(std::exchange(other.id_, -1)) {}
  BlockRef& operator=(BlockRef other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~BlockRef();

  explicit operator bool() const { return pool_ != nullptr; }
  int32_t id() const { return id_; }

 private:
  friend class BlockPool;
  BlockRef(BlockPool* pool, int32_t id) : pool_(pool), id_(id) {}

  BlockPool* pool_ = nullptr;
  int32_t id_ = -1;
};

class BlockPool {
 public:
  explicit BlockPool(int32_t blocks);
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // The idle block that is least worth keeping, no longer kept; an empty ref when none is idle.
  BlockRef Allocate();
  // One more reference to a block that is referenced or kept.
  BlockRef Share(int32_t id);
  // What the block holds stays of use after its last reference, until it is allocated again.
  void Keep(int32_t id) { blocks_[id].kept = true; }

  int32_t total() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t idle() const { return static_cast<int32_t>(idle_.size()); }

  // Internal: references and the idle list tell the same story.
  absl::Status CheckIntegrity() const;
  // The part of it that concerns blocks [first, end), and the totals.
  absl::Status CheckBlocks(int32_t first, int32_t end) const;

 private:
  friend class BlockRef;
  struct Block {
    int32_t references = 0;
    bool kept = false;
    std::list<int32_t>::iterator place;  // in idle_ or in_use_
  };
  void AddReference(int32_t id);
  void DropReference(int32_t id);

  std::vector<Block> blocks_;
  std::list<int32_t> idle_;  // next to be reused first
  std::list<int32_t> in_use_;
};

}  // namespace quire::worker
