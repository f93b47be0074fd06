#include "worker/engine/testing/scripted_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

// A mixing step with the constants of SplitMix64.
uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e3779b97f4a7c15ull + b + 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// What a position leaves in its page: depends on its token and, as keys of deeper layers do, on what came
// before.
uint64_t PageValue(uint64_t previous, TokenId id, int64_t position, bool scaled_rope) {
  return Mix(previous, Mix(static_cast<uint64_t>(id), static_cast<uint64_t>(position) * 2 + scaled_rope));
}

bool MaySample(const SampleSpec& sample, TokenId id) {
  const auto& masked = sample.params.masked_ids;
  if (std::find(masked.begin(), masked.end(), id) != masked.end()) return false;
  if (sample.allowed.empty()) return true;
  const auto word = static_cast<size_t>(id / 32);
  return word < sample.allowed.size() && (sample.allowed[word] >> (id % 32) & 1) != 0;
}

// -1 where there is none.
TokenId SampleAllowed(uint64_t noise, const SampleSpec& sample) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < 32 * std::ssize(sample.allowed); ++id) {
    if (MaySample(sample, id)) ids.push_back(id);
  }
  return ids.empty() ? -1 : ids[noise % ids.size()];
}

TokenId Sample(const ScriptedOptions& options, uint64_t attention, const SampleSpec& sample) {
  uint64_t noise = Mix(Mix(attention, sample.seed), Mix(sample.choice, sample.position));
  if (options.stop_every > 0 && noise % options.stop_every == 0 && MaySample(sample, options.stop_id)) {
    return options.stop_id;
  }
  if (!sample.allowed.empty()) return SampleAllowed(noise, sample);
  TokenId id = -1;
  do {
    noise = Mix(noise, 1);
    id = options.first_id +
         static_cast<TokenId>(noise % static_cast<uint64_t>(options.end_id - options.first_id));
  } while (!MaySample(sample, id));
  return id;
}

// Its logprob is -1, and those of the ids behind it, the likeliest after it, -2, -3 and so on.
SampledToken SampleToken(const ScriptedOptions& options, uint64_t attention, const SampleSpec& sample) {
  const TokenId id = Sample(options, attention, sample);
  SampledToken token{.id = id, .logprob = -1.0f, .failed = id < 0};
  for (int32_t i = 0; i < sample.params.top_logprobs; ++i)
    token.top_logprobs.push_back({id + i, -1.0f - static_cast<float>(i)});
  return token;
}

}  // namespace

ScriptedRunner::ScriptedRunner(ScriptedOptions options)
    : options_(std::move(options)), pages_(static_cast<size_t>(options_.kv_blocks) * kBlockTokens) {}

absl::Status ScriptedRunner::Launch(const BatchPlan& plan) {
  if (options_.on_launch) QUIRE_RETURN_IF_ERROR(options_.on_launch(plan));
  for (const SequencePlan& sequence : plan.sequences) QUIRE_RETURN_IF_ERROR(CheckBlocks(sequence));
  plan_ = &plan;
  return absl::OkStatus();
}

absl::StatusOr<StepResult> ScriptedRunner::Collect() {
  const BatchPlan& plan = *std::exchange(plan_, nullptr);
  for (const SequencePlan& sequence : plan.sequences) WritePages(sequence);
  StepResult result;
  for (const SequencePlan& sequence : plan.sequences) {
    if (!sequence.wants_logits) continue;
    result.tokens.push_back(SampleToken(options_, ReadPages(sequence), *sequence.sample));
  }
  if (options_.on_collect) options_.on_collect(plan, result);
  return result;
}

absl::Status ScriptedRunner::CheckBlocks(const SequencePlan& plan) const {
  const int64_t positions = plan.position + static_cast<int64_t>(plan.ids.size());
  const int64_t needed = BlocksFor(positions);
  if (static_cast<int64_t>(plan.blocks.size()) != needed || plan.ids.empty()) {
    return absl::InternalError(absl::StrCat(plan.blocks.size(), " blocks are planned for ", positions,
                                            " positions, ", plan.ids.size(), " of them new"));
  }
  const bool known = std::all_of(plan.blocks.begin(), plan.blocks.end(),
                                 [&](int32_t block) { return block >= 0 && block < options_.kv_blocks; });
  return known ? absl::OkStatus() : absl::InternalError("a planned block does not exist");
}

void ScriptedRunner::WritePages(const SequencePlan& plan) {
  for (size_t i = 0; i < plan.ids.size(); ++i) {
    const int64_t position = plan.position + static_cast<int64_t>(i);
    const uint64_t previous = position > 0 ? Page(plan, position - 1) : 0;
    Page(plan, position) = PageValue(previous, plan.ids[i], position, plan.scaled_rope);
  }
}

uint64_t ScriptedRunner::ReadPages(const SequencePlan& plan) const {
  const int64_t positions = plan.position + static_cast<int64_t>(plan.ids.size());
  uint64_t attention = 0;
  for (int64_t p = 0; p < positions; ++p) {
    attention = Mix(attention, pages_[plan.blocks[p / kBlockTokens] * kBlockTokens + p % kBlockTokens]);
  }
  return attention;
}

uint64_t& ScriptedRunner::Page(const SequencePlan& plan, int64_t position) {
  return pages_[plan.blocks[position / kBlockTokens] * kBlockTokens + position % kBlockTokens];
}

TokenId ScriptedToken(const ScriptedOptions& options, const std::vector<TokenId>& tokens, bool scaled_rope,
                      const SampleSpec& sample) {
  uint64_t attention = 0, page = 0;
  for (size_t p = 0; p < tokens.size(); ++p) {
    page = PageValue(page, tokens[p], static_cast<int64_t>(p), scaled_rope);
    attention = Mix(attention, page);
  }
  return Sample(options, attention, sample);
}

}  // namespace quire::worker
