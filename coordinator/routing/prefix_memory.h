// Which groups were recently given which prompt prefixes: our own choices, remembered, so that no event
// protocol is needed. The guess is corrected by what workers really found in their cache (cached_tokens):
// each group epoch has a trust between 0 and 1 by which its matches are scaled. Bounded, least recently used
// out first. Pure; owned by Router and called under its mutex.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "coordinator/routing/reservation_book.h"

namespace quire::coordinator {

class PrefixMemory {
 public:
  static constexpr size_t kMaxGroupsPerBlock = 4;

  explicit PrefixMemory(size_t max_blocks = 1 << 16) : max_blocks_(max_blocks) {}

  // `hashes` are a prompt's leading block hashes. Blocks that each group has, counted from the first without
  // a gap.
  std::map<GroupEpoch, uint64_t> Match(const std::vector<std::string>& hashes) const;
  void Remember(const std::vector<std::string>& hashes, const GroupEpoch& group);

  // The worker found `cached_tokens` where `expected_blocks` were expected.
  void Correct(const GroupEpoch& group, uint64_t expected_blocks, uint64_t cached_tokens);
  double TrustIn(const GroupEpoch& group) const;
  // The group is gone: nothing of it is cached any more.
  void Forget(const GroupEpoch& group);

  size_t size() const { return blocks_.size(); }

 private:
  struct Block {
    std::vector<GroupEpoch> groups;  // latest last
    std::list<std::string>::iterator recency;
  };

  const size_t max_blocks_;
  absl::flat_hash_map<std::string, Block> blocks_;
  std::list<std::string> recency_;  // most recent first
  std::map<GroupEpoch, double> trust_;
};

}  // namespace quire::coordinator
