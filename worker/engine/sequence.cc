#include "worker/engine/sequence.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quire::worker {

Sequence::Sequence(uint64_t ticket, std::shared_ptr<const SharedRequest> request, int64_t context, size_t nth,
                   std::shared_ptr<ScoredPrompt> scored)
    : ticket_(ticket),
      request_(std::move(request)),
      choice_(request_->choices[nth].index),
      context_(context),
      scored_(scored != nullptr ? std::move(scored) : std::make_shared<ScoredPrompt>(*request_)),
      output_(request_->choices[nth].resumed_ids),
      reasoning_(request_->reasoning) {
  ExtendHashes();
  CheckFinished();
  StartConstraints();
}

int64_t Sequence::size() const { return std::ssize(request_->prompt_ids) + std::ssize(output_); }

int64_t Sequence::longest() const {
  const int64_t asked = std::ssize(request_->prompt_ids) + request_->max_tokens;
  return std::min(asked, context_) - 1;
}

int64_t Sequence::RowsThatScore(int64_t scores) const {
  const ScoredPrompt::Rows left = scored_->Within(planned_, remaining());
  return left.count <= scores ? remaining() : left.first - planned_ + std::max<int64_t>(1, scores);
}

bool Sequence::EndsByLength() const {
  return std::ssize(output_) + coming_ >= request_->max_tokens || size() + coming_ >= context_;
}

bool Sequence::MayRunAhead() const {
  return coming_ == 0 ||
         (!request_->sampling.penalizes() && grammar_ == nullptr && !reasoning_.next_decides());
}

bool Sequence::HasInCommon(const Sequence& other, int64_t block) const {
  return block < std::min(SharableBlocks(), other.size() / kBlockTokens) &&
         HashOf(block) == other.HashOf(block);
}

int64_t Sequence::BlocksInCommon(const Sequence& other) const {
  if (MayForkFrom(other)) return (size() - 1) / kBlockTokens;
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

// A waiting one may have thousands of blocks, to be looked up in each step.
bool Sequence::MayFit(const PrefixCache& cache, int64_t room) const {
  if (!refusal_ || room > refusal_->room) return true;
  return refusal_->known < SharableBlocks() && cache.Knows(HashOf(refusal_->known));
}

bool Sequence::AcquireBlocks(PrefixCache& cache, int64_t spare) {
  const int64_t room = cache.idle() - spare;
  if (!MayFit(cache, room)) return false;
  std::vector<BlockRef> blocks = FindBlocks(cache, SharableBlocks());
  const int64_t shared = static_cast<int64_t>(blocks.size());
  const int64_t missing = BlocksFor(size()) - shared;
  const bool fits = missing + spare <= cache.idle();
  for (int64_t i = 0; fits && i < missing; ++i) blocks.push_back(cache.Allocate());
  blocks_ = std::move(blocks);
  if (!fits) {
    ReleaseBlocks();
    refusal_ = {.room = room, .known = shared};
    return false;
  }
  refusal_.reset();
  computed_ = planned_ = shared * kBlockTokens;
  return true;
}

bool Sequence::MayForkFrom(const Sequence& first) const {
  return request_ == first.request_ && output_.empty() && first.output_.empty();
}

bool Sequence::AcquireForkBlocks(const Sequence& first, PrefixCache& cache, int64_t spare) {
  const int64_t full = size() / kBlockTokens, copied = BlocksFor(size()) - full;
  if (copied + spare > cache.idle()) return false;
  blocks_.assign(first.blocks_.begin(), first.blocks_.begin() + full);
  if (copied > 0) blocks_.push_back(cache.Allocate());
  computed_ = planned_ = size();
  return true;
}

bool Sequence::GrowBlocks(PrefixCache& cache) {
  if (std::ssize(blocks_) >= BlocksFor(size() + coming_)) return true;
  BlockRef block = cache.Allocate();
  if (!block) return false;
  blocks_.push_back(std::move(block));
  return true;
}

int64_t Sequence::BlocksToGrow(int64_t tokens) const {
  return std::max<int64_t>(0, BlocksFor(std::min(longest(), size() + tokens)) - BlocksFor(size()));
}

void Sequence::ReleaseBlocks() {
  // Backwards, so that the cache reuses the tail of a prefix before its head.
  while (!blocks_.empty()) blocks_.pop_back();
  computed_ = planned_ = slot_blocks_ = 0;
  coming_ = 0;
  slot_.reset();
}

std::vector<BlockRef> Sequence::TakeBlocks() {
  std::vector<BlockRef> blocks = std::exchange(blocks_, {});
  ReleaseBlocks();
  return blocks;
}

void Sequence::OpenSlot(int32_t slot, BatchPlan& plan) {
  slot_ = slot;
  slot_blocks_ = computed_ / kBlockTokens;
  for (int64_t i = 0; i < slot_blocks_; ++i) plan.blocks.push_back(blocks_[i].id());
  plan.ops.push_back(worker::OpenSlot{.slot = slot,
                                      .scaled_rope = request_->scaled_rope ? 1 : 0,
                                      .adapter = request_->adapter,
                                      .blocks = static_cast<int32_t>(slot_blocks_)});
  SlotSampling& sampling = plan.openings.emplace_back();
  sampling.params = request_->sampling;
  sampling.params.masked_ids.assign(stop_mask().begin(), stop_mask().end());
  sampling.seed = request_->seed;
  if (!request_->sampling.penalizes()) return;
  sampling.counts = request_->prompt_counts;
  for (const TokenId id : output_) sampling.counts.AddOutput(id);
  sampling.tokens = size();
}

void Sequence::ForkSlot(int32_t slot, const Sequence& first, BatchPlan& plan, std::vector<SlotOp>& next) {
  slot_ = slot;
  slot_blocks_ = std::ssize(blocks_);
  Want(plan);
  next.push_back(worker::ForkSlot{.slot = slot, .from = *first.slot_});
  if (size() % kBlockTokens != 0) next.push_back(CopyLastBlock{.slot = slot, .block = blocks_.back().id()});
}

void Sequence::Plan(int64_t rows, BatchPlan& plan) {
  SequencePlan mine{
      .slot = *slot_, .position = static_cast<int32_t>(planned_), .rows = static_cast<int32_t>(rows)};
  const bool samples = rows == remaining();
  const int64_t position = planned_;
  if (coming_ > 0) {  // then all else is planned
    mine.sampled_row = coming_row_;
    plan.ids.push_back(0);
  } else {
    AppendTokens(planned_, planned_ + rows, plan.ids);
  }
  planned_ += rows;
  for (; slot_blocks_ < BlocksFor(planned_); ++slot_blocks_, ++mine.blocks) {
    plan.blocks.push_back(blocks_[slot_blocks_].id());
  }
  plan.sequences.push_back(mine);
  WantScores(position, rows, plan);
  if (samples) Want(plan);
}

void Sequence::WantScores(int64_t position, int64_t rows, BatchPlan& plan) {
  const auto [first, count] = scored_->Within(position, rows);
  const int64_t first_row = std::ssize(plan.ids) - rows;
  for (int64_t row = first; row < first + count; ++row) {
    plan.wanted.push_back(
        {.row = static_cast<int32_t>(first_row + row - position), .scored = request_->prompt_ids[row + 1]});
    plan.samples.emplace_back().top_logprobs = request_->scoring->top_logprobs;
  }
  plan.sequences.back().wanted += static_cast<int32_t>(count);
}

void Sequence::Want(BatchPlan& plan) {
  const int64_t position = std::ssize(output_) + coming_++;
  coming_row_ = static_cast<int32_t>(plan.wanted.size());
  ++plan.sequences.back().wanted;
  RowSampling& sample = plan.samples.emplace_back();
  sample.choice = choice_;
  sample.position = static_cast<uint32_t>(position);
  sample.masked = position < request_->min_tokens || !may_stop_;
  if (masked_) sample.allowed = mask_;
  const SamplingParams& params = request_->sampling;
  const bool adjusted = masked_ || (sample.masked && !stop_mask().empty()) || !params.logit_bias.empty() ||
                        !params.masked_ids.empty() || params.penalizes();
  plan.wanted.push_back({static_cast<int32_t>(plan.ids.size() - 1), kernels::NeedOf(params, adjusted)});
}

void Sequence::Advance(int64_t rows, PrefixCache& cache) {
  const int64_t full_before = computed_ / kBlockTokens;
  computed_ += rows;
  planned_ = std::max(planned_, computed_);
  for (int64_t i = full_before; i < computed_ / kBlockTokens; ++i) cache.Insert(HashOf(i), blocks_[i]);
}

void Sequence::ForgetBlocks(PrefixCache& cache) {
  for (int64_t i = 0; i < size() / kBlockTokens; ++i) cache.Forget(HashOf(i));
}

void Sequence::Append(TokenId id) {
  output_.push_back(id);
  coming_ = std::max(0, coming_ - 1);
  ExtendHashes();
  CheckFinished();
  FollowConstraints(id);
}

void Sequence::AppendTokens(int64_t begin, int64_t end, std::vector<TokenId>& to) const {
  const int64_t prompt = std::ssize(request_->prompt_ids);
  const auto append = [&to](const std::vector<TokenId>& from, int64_t first, int64_t last) {
    if (first < last) to.insert(to.end(), from.begin() + first, from.begin() + last);
  };
  append(request_->prompt_ids, begin, std::min(end, prompt));
  append(output_, std::max(begin, prompt) - prompt, end - prompt);
}

void Sequence::ExtendHashes() {
  const int64_t of_prompt = std::ssize(request_->prompt_hashes);
  std::vector<TokenId> ids;
  for (int64_t i = of_prompt + std::ssize(hashes_); i < size() / kBlockTokens; ++i) {
    const Digest previous = i > 0 ? HashOf(i - 1) : PrefixSeed(request_->cache_salt, request_->variant());
    ids.clear();
    AppendTokens(i * kBlockTokens, (i + 1) * kBlockTokens, ids);
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

void Sequence::StartConstraints() {
  if (request_->grammar != nullptr) {
    grammar_ = request_->grammar->Start();
    mask_.resize(static_cast<size_t>((request_->grammar->vocab() + 31) / 32));
  }
  const bool stopped = finished_ == FinishCause::kStop;
  const auto its_own =
      std::span(output_).first(output_.size() - (stopped ? 1 : 0));  // no grammar sees a stop id
  const bool taken = std::ranges::all_of(its_own, [&](TokenId id) { return Follow(id); });
  const bool may_stop = grammar_ == nullptr || (!reasoning_.reasons() && grammar_->CanStop());
  if (!taken || (stopped && !may_stop)) {
    grammar_error_ = absl::InvalidArgumentError(
        absl::StrCat("the grammar does not take resumed_ids of choice ", choice()));
  }
  Constrain();
  if (grammar_ != nullptr) told_mask_us_ = grammar_->spent_us();
}

int64_t Sequence::TakeMaskUs() {
  constexpr double kOfMean = 1.0 / 8;
  const int64_t spent_us = grammar_ == nullptr ? 0 : grammar_->spent_us();
  const int64_t us = spent_us - std::exchange(told_mask_us_, spent_us);
  if (us > 0) mean_mask_us_ += (static_cast<double>(us) - mean_mask_us_) * kOfMean;
  return us;
}

bool Sequence::Follow(TokenId id) {
  return !reasoning_.Follow(id) || grammar_ == nullptr || grammar_->Accept(id);
}

void Sequence::FollowConstraints(TokenId id) {
  if (finished_ == FinishCause::kStop) return;
  if (!Follow(id)) {
    grammar_error_ = grammar_->status();
    grammar_error_.Update(
        absl::InternalError(absl::StrCat("the grammar does not take id ", id, ", which it let come")));
  }
  Constrain();
}

void Sequence::Constrain() {
  if (finished_ == FinishCause::kStop || !grammar_error_.ok()) return;
  masked_ = false;
  may_stop_ = grammar_ == nullptr;
  if (const auto forced = reasoning_.forced()) return AllowOnly(*forced);
  if (grammar_ != nullptr && !reasoning_.reasons()) FillMask();
}

void Sequence::AllowOnly(TokenId id) {
  mask_.resize(std::max<size_t>(mask_.size(), id / 32 + 1));
  std::ranges::fill(mask_, 0);
  mask_[id / 32] = 1u << (id % 32);
  masked_ = true;
}

void Sequence::FillMask() {
  may_stop_ = grammar_->CanStop();
  const bool masked = grammar_->FillMask(mask_);
  grammar_error_ = grammar_->status();
  if (!masked || !grammar_error_.ok()) return;
  for (const TokenId id : stop_mask()) mask_[id / 32] &= ~(1u << (id % 32));
  if (const auto opener = reasoning_.opener()) mask_[*opener / 32] |= 1u << (*opener % 32);
  const bool goes_on = std::ranges::any_of(mask_, [](uint32_t word) { return word != 0; });
  if (goes_on || (OwesToken() && MayStopByToken())) {
    for (const TokenId id : stop_mask()) mask_[id / 32] |= (may_stop_ ? 1u : 0u) << (id % 32);
    masked_ = true;
  } else if (may_stop_ && !OwesToken()) {
    finished_ = FinishCause::kStop;
  } else if (!finished_) {
    grammar_error_ = absl::InvalidArgumentError(absl::StrCat(
        "the grammar lets nothing come after ", output_.size(), " tokens of choice ", choice(),
        may_stop_ ? ", whose prompt is scored: let a stop id come (ignore_eos, min_tokens)" : ""));
  }
}

}  // namespace quire::worker
