// One request's choice on its way through the engine: its output, how many of its tokens are computed, and
// the blocks that hold their keys and values; the prompt is the request's, which its choices share. Owned by
// the engine, planned by the scheduler; engine thread only. What always holds: positions [0, computed) are in
// the blocks; computed < size while it is unfinished, since the last token's row is what the next one is
// sampled from; a token that was sampled is never sampled again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/core/hash.h"
#include "worker/cache/prefix_cache.h"
#include "worker/engine/generation_request.h"

namespace quire::worker {

class Sequence {
 public:
  // Of the request's `nth` choice. `context` is the number of positions that the sequence may reach, prompt
  // and output together.
  Sequence(uint64_t ticket, std::shared_ptr<const SharedRequest> request, int64_t context, size_t nth = 0);
  Sequence(const Sequence&) = delete;  // plans point into it
  Sequence& operator=(const Sequence&) = delete;

  uint64_t ticket() const { return ticket_; }  // its request's
  uint32_t choice() const { return sample_.choice; }
  int64_t size() const;  // prompt and output
  int64_t computed() const { return computed_; }
  int64_t remaining() const { return size() - computed_; }
  // Positions that need blocks if it runs to its end: the last token is never an input.
  int64_t longest() const;
  const SharedRequest& request() const { return *request_; }
  const std::vector<TokenId>& output() const { return output_; }
  // Set once the output is complete, which resumed ids alone can make it.
  std::optional<FinishCause> finished() const { return finished_; }
  // InvalidArgument where the grammar doesn't take the resumed ids, or lets nothing come though its output
  // isn't whole. It can't go on then.
  const absl::Status& grammar_error() const { return grammar_error_; }

  // Whether the other one has the same tokens up to the end of this full block, which this one could share.
  bool HasInCommon(const Sequence& other, int64_t block) const;
  // How many such blocks there are.
  int64_t BlocksInCommon(const Sequence& other) const;
  // Of a full block of its present tokens, and all before it.
  const Digest& HashOf(int64_t block) const;

  // Takes what the cache knows and allocates the rest of the blocks for all its tokens. False, and nothing
  // taken, where fewer than `spare` blocks would stay idle.
  bool AcquireBlocks(PrefixCache& cache, int64_t spare);
  // Makes room for the next position. False where no block is idle.
  bool GrowBlocks(PrefixCache& cache);
  // How many blocks its next `tokens` tokens need beyond those of its present ones; less where it ends
  // before.
  int64_t BlocksToGrow(int64_t tokens) const;
  // Forgets what is computed: a preempted sequence starts over, from the prefix cache at best.
  void ReleaseBlocks();

  // The plan of its next `rows` tokens.
  SequencePlan Plan(int64_t rows);
  // The planned rows ran: names the blocks that they filled.
  void Advance(int64_t rows, PrefixCache& cache);
  // Its rows came out wrong: none of its blocks has a name from now on, whoever computed it.
  void ForgetBlocks(PrefixCache& cache);
  // The token sampled from the last row.
  void Append(TokenId id);

 private:
  TokenId TokenAt(int64_t position) const;
  std::vector<TokenId> Tokens(int64_t begin, int64_t end) const;
  // The last token is always computed, since its row is sampled from: so its block is the sequence's own.
  int64_t SharableBlocks() const { return (size() - 1) / kBlockTokens; }
  // Hashes the full blocks that are new.
  void ExtendHashes();
  // What the cache knows of its first so many blocks, up to the first that it doesn't.
  std::vector<BlockRef> FindBlocks(PrefixCache& cache, int64_t blocks) const;
  void CheckFinished();
  // With the resumed ids.
  void StartGrammar();
  void FollowGrammar(TokenId id);
  // What the grammar lets come next: for the next row, or the output's end.
  void FillMask();

  const uint64_t ticket_;
  const std::shared_ptr<const SharedRequest> request_;
  const int64_t context_;
  std::vector<TokenId> output_;
  std::optional<FinishCause> finished_;
  SampleSpec sample_;
  kernels::TokenCounts counts_;     // of all its tokens, where penalties look at them
  std::vector<TokenId> stop_mask_;  // what is masked before min_tokens, and where the grammar may not stop
  std::unique_ptr<GrammarState> grammar_;
  absl::Status grammar_error_;
  bool may_stop_ = true;
  std::vector<uint32_t> mask_;  // of the next token
  int64_t computed_ = 0;
  std::vector<BlockRef> blocks_;
  std::vector<int32_t> block_ids_;  // of blocks_
  std::vector<Digest> hashes_;      // of the full blocks behind those of the prompt
};

}  // namespace quire::worker
