#include "worker/cache/prefix_cache.h"

#include <algorithm>

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
  if (block) Unname(block.id());
  return block;
}

void PrefixCache::Forget(const Digest& hash) {
  if (const auto it = blocks_.find(hash); it != blocks_.end()) Unname(it->second);
}

void PrefixCache::Unname(int32_t block) {
  if (!names_[block]) return;
  blocks_.erase(*names_[block]);
  names_[block].reset();
  --named_;
}

void PrefixCache::Insert(const Digest& hash, const BlockRef& block) {
  if (names_[block.id()] || !blocks_.try_emplace(hash, block.id()).second) return;
  names_[block.id()] = hash;
  ++named_;
  pool_.Keep(block.id());
}

absl::Status PrefixCache::CheckBlocks(int32_t first, int32_t end) const {
  for (int32_t id = first; id < end; ++id) {
    if (!names_[id]) continue;
    const auto it = blocks_.find(*names_[id]);
    if (it == blocks_.end() || it->second != id) {
      return absl::InternalError(absl::StrCat("block ", id, " has a name that leads elsewhere"));
    }
  }
  if (named_ == blocks_.size()) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(blocks_.size(), " prefixes are known but ", named_, " blocks are named"));
}

absl::Status PrefixCache::CheckIntegrity() const {
  QUIRE_RETURN_IF_ERROR(pool_.CheckIntegrity());
  QUIRE_RETURN_IF_ERROR(CheckBlocks(0, total()));
  const auto named =
      std::count_if(names_.begin(), names_.end(), [](const auto& name) { return name.has_value(); });
  if (static_cast<size_t>(named) == named_) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(named, " blocks are named, not ", named_));
}

absl::StatusOr<int32_t> PrefixCache::AuditSome(int32_t blocks) {
  const int32_t first = audited_, end = std::min(total(), first + std::min(blocks, total()));
  audited_ = end == total() ? 0 : end;
  QUIRE_RETURN_IF_ERROR(pool_.CheckBlocks(first, end));
  QUIRE_RETURN_IF_ERROR(CheckBlocks(first, end));
  return end - first;
}

}  // namespace quire::worker
