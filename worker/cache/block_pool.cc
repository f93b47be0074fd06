#include "worker/cache/block_pool.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {

BlockRef::BlockRef(const BlockRef& other) : pool_(other.pool_), id_(other.id_) {
  if (pool_ != nullptr) pool_->AddReference(id_);
}

BlockRef::~BlockRef() {
  if (pool_ != nullptr) pool_->DropReference(id_);
}

BlockPool::BlockPool(int32_t blocks) : blocks_(blocks) {
  for (int32_t id = 0; id < blocks; ++id) blocks_[id].place = idle_.insert(idle_.end(), id);
}

BlockRef BlockPool::Allocate() {
  if (idle_.empty()) return {};
  const int32_t id = idle_.front();
  blocks_[id].kept = false;
  return Share(id);
}

BlockRef BlockPool::Share(int32_t id) {
  AddReference(id);
  return BlockRef(this, id);
}

void BlockPool::AddReference(int32_t id) {
  Block& block = blocks_[id];
  if (block.references++ == 0) in_use_.splice(in_use_.end(), idle_, block.place);
}

void BlockPool::DropReference(int32_t id) {
  Block& block = blocks_[id];
  if (--block.references > 0) return;
  idle_.splice(block.kept ? idle_.end() : idle_.begin(), in_use_, block.place);
}

absl::Status BlockPool::CheckBlocks(int32_t first, int32_t end) const {
  for (int32_t id = first; id < end; ++id) {
    const Block& block = blocks_[id];
    if (block.references < 0) return absl::InternalError(absl::StrCat("block ", id, " was released twice"));
    if (*block.place != id)
      return absl::InternalError(absl::StrCat("block ", id, " stands in another's place"));
    if (block.references > 0 && idle() == total()) {
      return absl::InternalError(absl::StrCat("block ", id, " is referenced though all are idle"));
    }
  }
  if (idle_.size() + in_use_.size() == blocks_.size()) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(idle_.size(), " blocks are idle and ", in_use_.size(), " in use, of ", total()));
}

absl::Status BlockPool::CheckIntegrity() const {
  QUIRE_RETURN_IF_ERROR(CheckBlocks(0, total()));
  const auto unreferenced =
      std::count_if(blocks_.begin(), blocks_.end(), [](const Block& block) { return block.references == 0; });
  if (unreferenced == idle()) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(unreferenced, " blocks have no reference but ", idle(), " are idle"));
}

}  // namespace quire::worker
