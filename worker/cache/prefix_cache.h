// Which full blocks hold which prefix: a map from chained block hashes (base/core/hash.h; the tenant's salt
// and the RoPE variant are in the chain) to blocks of the pool, which it owns. A block is shared by reference
// and never written once it has a name; idle named blocks are reused least recently released first, and lose
// their name then. Owned by the engine, used by the scheduler; engine thread only. What always holds: names
// and blocks map one to one.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/core/hash.h"
#include "worker/cache/block_pool.h"

namespace quire::worker {

class PrefixCache {
 public:
  explicit PrefixCache(int32_t blocks) : pool_(blocks), names_(blocks) {}

  // References to the blocks of the longest known run of leading hashes, at most `hashes.size()`.
  std::vector<BlockRef> Find(std::span<const Digest> hashes);
  bool Knows(const Digest& hash) const { return blocks_.contains(hash); }
  // A block to write to; an empty ref when every block is referenced.
  BlockRef Allocate();
  // Names a block whose 16 positions are all computed. A prefix already known keeps its first block.
  void Insert(const Digest& hash, const BlockRef& block);
  // What the block of this name holds can't be trusted: nobody finds it from now on. There may be none.
  void Forget(const Digest& hash);

  int32_t total() const { return pool_.total(); }
  // Blocks that Allocate can give, named or not.
  int32_t idle() const { return pool_.idle(); }

  // Internal: names, blocks and references tell the same story. Walks all blocks.
  absl::Status CheckIntegrity() const;
  // The next `blocks` blocks of an endless round over all, and the totals: how many it looked at.
  absl::StatusOr<int32_t> AuditSome(int32_t blocks);

 private:
  void Unname(int32_t block);
  absl::Status CheckBlocks(int32_t first, int32_t end) const;

  BlockPool pool_;
  absl::flat_hash_map<Digest, int32_t> blocks_;
  std::vector<std::optional<Digest>> names_;  // by block
  size_t named_ = 0;                          // of them
  int32_t audited_ = 0;                       // the round's blocks so far
};

}  // namespace quire::worker
