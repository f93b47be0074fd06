#include "worker/engine/sequence.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quire::worker {

Sequence::Sequence(uint64_t ticket, std::shared_ptr<const SharedRequest> request, int64_t context, size_t nth)
    : ticket_(ticket),
      request_(std::move(request)),
      context_(context),
      output_(request_->choices[nth].resumed_ids) {
  sample_.params = request_->sampling;
  sample_.seed = request_->seed;
  sample_.choice = request_->choices[nth].index;
  if (request_->sampling.penalizes()) {
    sample_.counts = &counts_;
    counts_ = request_->prompt_counts;
    for (const TokenId id : output_) counts_.AddOutput(id);
  }
  if (!request_->ignore_eos) stop_mask_ = request_->stop_ids;
  ExtendHashes();
  CheckFinished();
  if (request_->grammar != nullptr) StartGrammar();
}

int64_t Sequence::size() const { return std::ssize(request_->prompt_ids) + std::ssize(output_); }

int64_t Sequence::longest() const {
  const int64_t asked = std::ssize(request_->prompt_ids) + request_->max_tokens;
  return std::min(asked, context_) - 1;
}

bool Sequence::HasInCommon(const Sequence& other, int64_t block) const {
  return block < std::min(SharableBlocks(), other.size() / kBlockTokens) &&
         HashOf(block) == other.HashOf(block);
}

int64_t Sequence::BlocksInCommon(const Sequence& other) const {
  int64_t same = 0, end = std::min(SharableBlocks(), other.size() / kBlockTokens);
  while (same < end) {  // a hash is equal only where all before it are
    const int64_t middle = same + (end - same) / 2;
    if (HasInCommon(other, middle)) {
      same = middle + 1;
    } else {
      end = middle;
    }
  }
  return same;
}

bool Sequence::AcquireBlocks(PrefixCache& cache, int64_t spare) {
  std::vector<BlockRef> blocks = FindBlocks(cache, SharableBlocks());
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
  plan.scaled_rope = request_->scaled_rope;
  plan.wants_logits = rows == remaining();
  if (plan.wants_logits) {
    sample_.position = static_cast<uint32_t>(output_.size());
    sample_.params.masked_ids.clear();
    if (std::ssize(output_) < request_->min_tokens || !may_stop_) sample_.params.masked_ids = stop_mask_;
    plan.sample = &sample_;
  }
  return plan;
}

void Sequence::Advance(int64_t rows, PrefixCache& cache) {
  const int64_t full_before = computed_ / kBlockTokens;
  computed_ += rows;
  for (int64_t i = full_before; i < computed_ / kBlockTokens; ++i) cache.Insert(HashOf(i), blocks_[i]);
}

void Sequence::ForgetBlocks(PrefixCache& cache) {
  for (const BlockRef& block : blocks_) cache.Forget(block);
}

void Sequence::Append(TokenId id) {
  output_.push_back(id);
  if (sample_.counts != nullptr) counts_.AddOutput(id);
  ExtendHashes();
  CheckFinished();
  if (grammar_ != nullptr) FollowGrammar(id);
}

TokenId Sequence::TokenAt(int64_t position) const {
  const int64_t prompt = std::ssize(request_->prompt_ids);
  return position < prompt ? request_->prompt_ids[position] : output_[position - prompt];
}

std::vector<TokenId> Sequence::Tokens(int64_t begin, int64_t end) const {
  std::vector<TokenId> tokens(end - begin);
  for (int64_t i = begin; i < end; ++i) tokens[i - begin] = TokenAt(i);
  return tokens;
}

void Sequence::ExtendHashes() {
  const int64_t of_prompt = std::ssize(request_->prompt_hashes);
  for (int64_t i = of_prompt + std::ssize(hashes_); i < size() / kBlockTokens; ++i) {
    const Digest previous =
        i > 0 ? HashOf(i - 1) : PrefixSeed(request_->cache_salt, request_->rope_variant());
    const std::vector<TokenId> ids = Tokens(i * kBlockTokens, (i + 1) * kBlockTokens);
    hashes_.push_back(NextBlockHash(previous, std::span<const TokenId, kBlockTokens>(ids)));
  }
}

const Digest& Sequence::HashOf(int64_t block) const {
  const int64_t of_prompt = std::ssize(request_->prompt_hashes);
  return block < of_prompt ? request_->prompt_hashes[block] : hashes_[block - of_prompt];
}

std::vector<BlockRef> Sequence::FindBlocks(PrefixCache& cache, int64_t blocks) const {
  const int64_t of_prompt = std::min(blocks, std::ssize(request_->prompt_hashes));
  std::vector<BlockRef> found = cache.Find(std::span(request_->prompt_hashes).first(of_prompt));
  if (std::ssize(found) < of_prompt) return found;
  std::vector<BlockRef> more = cache.Find(std::span(hashes_).first(blocks - of_prompt));
  std::move(more.begin(), more.end(), std::back_inserter(found));
  return found;
}

void Sequence::CheckFinished() {
  const int64_t made = static_cast<int64_t>(output_.size());
  const auto& stops = request_->stop_ids;
  const bool stopped = made > request_->min_tokens && !request_->ignore_eos &&
                       std::find(stops.begin(), stops.end(), output_.back()) != stops.end();
  if (stopped) {
    finished_ = FinishCause::kStop;
  } else if (made >= request_->max_tokens || size() >= context_) {
    finished_ = FinishCause::kLength;
  }
}

void Sequence::StartGrammar() {
  grammar_ = request_->grammar->Start();
  mask_.resize(static_cast<size_t>((request_->grammar->vocab() + 31) / 32));
  const bool stopped = finished_ == FinishCause::kStop;
  const auto its_own =
      std::span(output_).first(output_.size() - (stopped ? 1 : 0));  // no grammar sees a stop id
  const bool taken = std::ranges::all_of(its_own, [&](TokenId id) { return grammar_->Accept(id); });
  if (!taken || (stopped && !grammar_->CanStop())) {
    grammar_error_ = absl::InvalidArgumentError(
        absl::StrCat("the grammar does not take resumed_ids of choice ", choice()));
  }
  FillMask();
}

void Sequence::FollowGrammar(TokenId id) {
  if (finished_ == FinishCause::kStop) return;
  if (!grammar_->Accept(id)) {
    grammar_error_ =
        absl::InternalError(absl::StrCat("the grammar does not take id ", id, ", which it let come"));
  }
  FillMask();
}

void Sequence::FillMask() {
  if (finished_ == FinishCause::kStop || !grammar_error_.ok()) return;
  sample_.allowed = {};
  may_stop_ = grammar_->CanStop();
  if (!grammar_->FillMask(mask_)) return;
  for (const TokenId id : stop_mask_) mask_[id / 32] &= ~(1u << (id % 32));
  const bool goes_on = std::ranges::any_of(mask_, [](uint32_t word) { return word != 0; });
  if (goes_on) {
    for (const TokenId id : stop_mask_) mask_[id / 32] |= (may_stop_ ? 1u : 0u) << (id % 32);
    sample_.allowed = mask_;
  } else if (may_stop_) {
    finished_ = FinishCause::kStop;
  } else if (!finished_) {
    grammar_error_ = absl::InvalidArgumentError(
        absl::StrCat("the grammar lets nothing come after ", output_.size(), " tokens of choice ", choice()));
  }
}

}  // namespace quire::worker
