#include "worker/cache/prefix_cache.h"

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {

std::vector<BlockRef> PrefixCache::Find(std::span<const Digest> hashes) {
  std::vector<BlockRef> found;
  for (const Digest& hash : hashes) {
    const auto it = blocks_.find(hash);
    if (it == blocks_.end()) break;
    found.push_back(pool_.Share(it->second));
  }
  return found;
}

BlockRef PrefixCache::Allocate() {
  BlockRef block = pool_.Allocate();
  if (block && names_[block.id()]) {
    blocks_.erase(*names_[block.id()]);
    names_[block.id()].reset();
  }
  return block;
}

void PrefixCache::Insert(const Digest& hash, const BlockRef& block) {
  if (names_[block.id()] || !blocks_.try_emplace(hash, block.id()).second) return;
  names_[block.id()] = hash;
  pool_.Keep(block.id());
}

absl::Status PrefixCache::CheckIntegrity() const {
  QUIRE_RETURN_IF_ERROR(pool_.CheckIntegrity());
  size_t named = 0;
  for (int32_t id = 0; id < total(); ++id) {
    if (!names_[id]) continue;
    ++named;
    const auto it = blocks_.find(*names_[id]);
    if (it == blocks_.end() || it->second != id) {
      return absl::InternalError(absl::StrCat("block ", id, " has a name that leads elsewhere"));
    }
  }
  if (named == blocks_.size()) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(blocks_.size(), " prefixes are known but ", named, " blocks are named"));
}

}  // namespace quire::worker
