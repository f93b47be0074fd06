// For tests only: a sequence by itself, without an engine, and what its next row may be.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "worker/engine/sequence.h"

namespace quire::worker {

class OneSequence {
 public:
  explicit OneSequence(const GenerationRequest& request) : sequence_(1, Share(request), 100) {}

  Sequence& operator*() { return sequence_; }
  Sequence* operator->() { return &sequence_; }

  // Ids; {-1} where every one may come, but for the masked ones.
  std::vector<TokenId> Allowed() {
    sequence_.ReleaseBlocks();
    EXPECT_TRUE(sequence_.AcquireBlocks(cache_, 0));
    BatchPlan plan;
    sequence_.OpenSlot(0, plan);
    sequence_.Plan(sequence_.remaining(), plan);
    const RowSampling& sample = plan.samples.at(0);
    masked_ = sample.masked ? plan.openings[0].params.masked_ids : std::vector<TokenId>();
    if (sample.allowed.empty()) return {-1};
    std::vector<TokenId> ids;
    for (TokenId id = 0; id < 32 * std::ssize(sample.allowed); ++id) {
      if ((sample.allowed[id / 32] >> (id % 32) & 1) != 0) ids.push_back(id);
    }
    return ids;
  }
  // By the last Allowed.
  const std::vector<TokenId>& masked() const { return masked_; }

 private:
  PrefixCache cache_{10};
  Sequence sequence_;
  std::vector<TokenId> masked_;
};

}  // namespace quire::worker
