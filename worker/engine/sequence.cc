#include "worker/engine/sequence.h"

#include <algorithm>

namespace quire::worker {

Sequence::Sequence(uint64_t id, GenerationRequest request, int64_t context)
    : id_(id), request_(std::move(request)), context_(context), output_(request_.resumed_ids) {
  sample_.params = request_.sampling;
  sample_.seed = request_.seed;
  sample_.choice = request_.choice;
  if (request_.sampling.penalizes()) {
    sample_.counts = &counts_;
    counts_.AddPrompt(request_.prompt_ids);
    for (const TokenId id : output_) counts_.AddOutput(id);
  }
  if (!request_.ignore_eos) stop_mask_ = request_.stop_ids;
  CheckFinished();
}

int64_t Sequence::size() const { return static_cast<int64_t>(request_.prompt_ids.size() + output_.size()); }

int64_t Sequence::longest() const {
  const int64_t asked = static_cast<int64_t>(request_.prompt_ids.size()) + request_.max_tokens;
  return std::min(asked, context_) - 1;
}

bool Sequence::AcquireBlocks(PrefixCache& cache, int64_t spare) {
  // The last token is always computed, since its row is sampled from; so its block is the sequence's own.
  const int64_t sharable = (size() - 1) / kBlockTokens;
  std::vector<BlockRef> blocks = cache.Find(std::span(Hashes()).first(sharable));
  const int64_t shared = static_cast<int64_t>(blocks.size());
  const int64_t missing = BlocksFor(size()) - shared;
  const bool fits = missing + spare <= cache.idle();
  for (int64_t i = 0; fits && i < missing; ++i) blocks.push_back(cache.Allocate());
  blocks_ = std::move(blocks);
  if (!fits) {
    ReleaseBlocks();
    return false;
  }
  for (const BlockRef& block : blocks_) block_ids_.push_back(block.id());
  computed_ = shared * kBlockTokens;
  return true;
}

bool Sequence::GrowBlocks(PrefixCache& cache) {
  if (static_cast<int64_t>(blocks_.size()) >= BlocksFor(size())) return true;
  BlockRef block = cache.Allocate();
  if (!block) return false;
  block_ids_.push_back(block.id());
  blocks_.push_back(std::move(block));
  return true;
}

int64_t Sequence::BlocksToGrow(int64_t tokens) const {
  return std::max<int64_t>(0, BlocksFor(std::min(longest(), size() + tokens)) - BlocksFor(size()));
}

void Sequence::ReleaseBlocks() {
  // Backwards, so that the cache reuses the tail of a prefix before its head.
  while (!blocks_.empty()) blocks_.pop_back();
  block_ids_.clear();
  computed_ = 0;
}

SequencePlan Sequence::Plan(int64_t rows) {
  SequencePlan plan;
  plan.position = computed_;
  plan.ids = Tokens(computed_, computed_ + rows);
  plan.blocks.assign(block_ids_.begin(), block_ids_.begin() + BlocksFor(computed_ + rows));
  plan.scaled_rope = request_.scaled_rope;
  plan.wants_logits = rows == remaining();
  if (plan.wants_logits) {
    sample_.position = static_cast<uint32_t>(output_.size());
    const bool below_minimum = static_cast<int64_t>(output_.size()) < request_.min_tokens;
    sample_.params.masked_ids = below_minimum ? stop_mask_ : std::vector<TokenId>();
    plan.sample = &sample_;
  }
  return plan;
}

void Sequence::Advance(int64_t rows, PrefixCache& cache) {
  const int64_t full_before = computed_ / kBlockTokens;
  computed_ += rows;
  const std::vector<Digest>& hashes = Hashes();
  for (int64_t i = full_before; i < computed_ / kBlockTokens; ++i) cache.Insert(hashes[i], blocks_[i]);
}

void Sequence::ForgetBlocks(PrefixCache& cache) {
  for (const BlockRef& block : blocks_) cache.Forget(block);
}

void Sequence::Append(TokenId id) {
  output_.push_back(id);
  if (sample_.counts != nullptr) counts_.AddOutput(id);
  CheckFinished();
}

TokenId Sequence::TokenAt(int64_t position) const {
  const int64_t prompt = static_cast<int64_t>(request_.prompt_ids.size());
  return position < prompt ? request_.prompt_ids[position] : output_[position - prompt];
}

std::vector<TokenId> Sequence::Tokens(int64_t begin, int64_t end) const {
  std::vector<TokenId> tokens(end - begin);
  for (int64_t i = begin; i < end; ++i) tokens[i - begin] = TokenAt(i);
  return tokens;
}

const std::vector<Digest>& Sequence::Hashes() {
  const int64_t full = size() / kBlockTokens;
  for (int64_t i = static_cast<int64_t>(hashes_.size()); i < full; ++i) {
    const Digest previous =
        i > 0 ? hashes_.back() : PrefixSeed(request_.cache_salt, request_.scaled_rope ? "scaled" : "plain");
    const std::vector<TokenId> ids = Tokens(i * kBlockTokens, (i + 1) * kBlockTokens);
    hashes_.push_back(NextBlockHash(previous, std::span<const TokenId, kBlockTokens>(ids)));
  }
  return hashes_;
}

void Sequence::CheckFinished() {
  const int64_t made = static_cast<int64_t>(output_.size());
  const auto& stops = request_.stop_ids;
  const bool stopped = made > request_.min_tokens && !request_.ignore_eos &&
                       std::find(stops.begin(), stops.end(), output_.back()) != stops.end();
  if (stopped) {
    finished_ = FinishCause::kStop;
  } else if (made >= request_.max_tokens || size() >= context_) {
    finished_ = FinishCause::kLength;
  }
}

}  // namespace quire::worker
