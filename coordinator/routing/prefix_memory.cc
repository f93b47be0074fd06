#include "coordinator/routing/prefix_memory.h"

#include <algorithm>

#include "base/core/hash.h"

namespace quire::coordinator {
namespace {

constexpr double kTrustStep = 0.2;

}  // namespace

std::map<GroupEpoch, uint64_t> PrefixMemory::Match(const std::vector<std::string>& hashes) const {
  std::map<GroupEpoch, uint64_t> matched;
  for (size_t i = 0; i < hashes.size(); ++i) {
    auto block = blocks_.find(hashes[i]);
    if (block == blocks_.end()) break;
    for (const GroupEpoch& group : block->second.groups) {
      uint64_t& count = matched[group];
      if (count == i) count = i + 1;  // else it has a gap before
    }
  }
  std::erase_if(matched, [](const auto& entry) { return entry.second == 0; });
  return matched;
}

void PrefixMemory::Remember(const std::vector<std::string>& hashes, const GroupEpoch& group) {
  for (const std::string& hash : hashes) {
    auto [it, added] = blocks_.try_emplace(hash);
    Block& block = it->second;
    if (!added) recency_.erase(block.recency);
    block.recency = recency_.insert(recency_.begin(), hash);
    std::erase(block.groups, group);
    block.groups.push_back(group);
    if (block.groups.size() > kMaxGroupsPerBlock) block.groups.erase(block.groups.begin());
  }
  while (blocks_.size() > max_blocks_) {
    blocks_.erase(recency_.back());
    recency_.pop_back();
  }
}

void PrefixMemory::Correct(const GroupEpoch& group, uint64_t expected_blocks, uint64_t cached_tokens) {
  if (expected_blocks == 0) return;
  const double found =
      static_cast<double>(cached_tokens) / static_cast<double>(expected_blocks * kBlockTokens);
  double& trust = trust_.try_emplace(group, 1.0).first->second;
  trust += kTrustStep * (std::min(found, 1.0) - trust);
}

double PrefixMemory::TrustIn(const GroupEpoch& group) const {
  auto it = trust_.find(group);
  return it == trust_.end() ? 1.0 : it->second;
}

void PrefixMemory::Forget(const GroupEpoch& group) {
  trust_.erase(group);
  for (auto it = blocks_.begin(); it != blocks_.end();) {
    std::erase(it->second.groups, group);
    if (it->second.groups.empty()) {
      recency_.erase(it->second.recency);
      blocks_.erase(it++);
    } else {
      ++it;
    }
  }
}

}  // namespace quire::coordinator
