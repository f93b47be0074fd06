#include "worker/cache/block_pool.h"

#include "absl/strings/str_cat.h"

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

absl::Status BlockPool::CheckIntegrity() const {
  size_t idle = 0;
  for (int32_t id = 0; id < total(); ++id) {
    if (blocks_[id].references < 0)
      return absl::InternalError(absl::StrCat("block ", id, " was released twice"));
    if (*blocks_[id].place != id)
      return absl::InternalError(absl::StrCat("block ", id, " stands in another's place"));
    idle += blocks_[id].references == 0;
  }
  if (idle != idle_.size() || idle_.size() + in_use_.size() != blocks_.size()) {
    return absl::InternalError(absl::StrCat(idle, " blocks have no reference but ", idle_.size(),
                                            " are idle and ", in_use_.size(), " in use, of ", total()));
  }
  return absl::OkStatus();
}

}  // namespace quire::worker
