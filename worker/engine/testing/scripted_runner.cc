#include "worker/engine/testing/scripted_runner.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
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
uint64_t PageValue(uint64_t previous, TokenId id, int64_t position, bool scaled_rope, int32_t adapter = 0) {
  const uint64_t variant = static_cast<uint64_t>(adapter) << 32;
  return Mix(previous,
             Mix(static_cast<uint64_t>(id) + variant, static_cast<uint64_t>(position) * 2 + scaled_rope));
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

// Equal for equal counts, in whatever order they came.
uint64_t PenaltiesOf(const SampleSpec& sample) {
  if (sample.counts == nullptr) return 0;
  kernels::TokenCounts counts = *sample.counts;
  for (const TokenId id : sample.uncounted) counts.RemoveOutput(id);
  uint64_t sum = 1;
  for (const auto& [id, count] : counts.counts()) {
    sum += Mix(static_cast<uint64_t>(id), static_cast<uint64_t>(count.output) * 2 + count.in_prompt);
  }
  return sum;
}

TokenId Sample(const ScriptedOptions& options, uint64_t attention, const SampleSpec& sample) {
  uint64_t noise = Mix(Mix(attention, sample.seed), Mix(sample.choice, sample.position));
  if (const uint64_t penalties = PenaltiesOf(sample); penalties != 0) noise = Mix(noise, penalties);
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

// A score depends on all that came before and on the id; the likeliest are the ids behind it.
SampledToken ScoreToken(uint64_t attention, const SampleSpec& sample) {
  const auto logprob = [&](TokenId id) {
    return -static_cast<float>(Mix(attention, static_cast<uint64_t>(id)) % 4096) / 64;
  };
  SampledToken token{.id = sample.scored, .logprob = logprob(sample.scored)};
  for (int32_t i = 1; i <= sample.params.top_logprobs; ++i)
    token.top_logprobs.push_back({sample.scored + i, logprob(sample.scored + i)});
  return token;
}

// Its logprob is -1, and those of the ids behind it, the likeliest after it, -2, -3 and so on.
SampledToken SampleToken(const ScriptedOptions& options, uint64_t attention, const SampleSpec& sample) {
  if (sample.scored != -1) return ScoreToken(attention, sample);
  const TokenId id = Sample(options, attention, sample);
  SampledToken token{.id = id, .logprob = -1.0f, .failed = id < 0};
  for (int32_t i = 0; i < sample.params.top_logprobs; ++i)
    token.top_logprobs.push_back({id + i, -1.0f - static_cast<float>(i)});
  return token;
}

SlotLimits LimitsOf(const ScriptedOptions& options) {
  constexpr int64_t kAny = std::numeric_limits<int32_t>::max();
  return {.slots = options.max_sequences,
          .batch_tokens = kAny,
          .wanted_rows = kAny,
          .kv_blocks = options.kv_blocks,
          .token_ids = kAny,
          .plain_context = kAny,
          .scaled_context = kAny,
          .adapters = kAny,
          .ids_on_device = options.runs_ahead};
}

}  // namespace

ScriptedRunner::ScriptedRunner(ScriptedOptions options)
    : options_(std::move(options)),
      slots_(LimitsOf(options_)),
      pages_(static_cast<size_t>(options_.kv_blocks) * kBlockTokens) {}

absl::Status ScriptedRunner::Launch(const BatchPlan& plan) {
  if (flight_.size() >= (options_.runs_ahead ? 2u : 1u)) return absl::InternalError("too many steps at once");
  if (options_.on_launch) QUIRE_RETURN_IF_ERROR(options_.on_launch(plan));
  QUIRE_RETURN_IF_ERROR(CheckFlight(plan));
  QUIRE_RETURN_IF_ERROR(slots_.Apply(plan));
  for (size_t i = 0; i < plan.wanted.size(); ++i) {
    if (plan.wanted[i].need == kernels::NeedOf(*slots_.specs()[i])) continue;
    return absl::InternalError("a plan wants other logits of a row than it is sampled by");
  }
  if (flight_.empty() && !slots_.sampled().empty()) {
    return absl::InternalError("a plan begins with a token that has been collected");
  }
  flight_.push_back(TakeStep(plan));
  return CheckWritesAreAlone(slots_);
}

ScriptedRunner::Launched ScriptedRunner::TakeStep(const BatchPlan& plan) const {
  Launched step;
  step.plan = &plan;
  step.ids.assign(slots_.ids().begin(), slots_.ids().end());
  step.sampled.assign(slots_.sampled().begin(), slots_.sampled().end());
  step.copies.assign(slots_.copies().begin(), slots_.copies().end());
  for (const SampleSpec* spec : slots_.specs()) step.specs.push_back(*spec);
  for (const auto& [from, to] : step.copies) step.written.push_back(to);
  for (const SlotRows& rows : slots_.sequences()) {
    const auto written = rows.table.subspan(rows.position / kBlockTokens);
    step.written.insert(step.written.end(), written.begin(), written.end());
    step.tables.emplace_back(rows.table.begin(), rows.table.end());
    step.sequences.push_back(rows);
    step.sequences.back().table = step.tables.back();  // whose numbers stay where they are
  }
  return step;
}

absl::Status ScriptedRunner::CheckFlight(const BatchPlan& plan) const {
  std::vector<int32_t> blocks = plan.blocks, slots;  // of which each is new to a slot
  for (const SlotOp& op : plan.ops) {
    if (const auto* copy = std::get_if<CopyLastBlock>(&op)) blocks.push_back(copy->block);
    if (const auto* close = std::get_if<CloseSlot>(&op)) slots.push_back(close->slot);
  }
  for (const Launched& step : flight_) {
    for (const int32_t block : blocks) {
      if (!std::ranges::count(step.written, block)) continue;
      return absl::InternalError(absl::StrCat("block ", block, " is handed out while a step writes it"));
    }
    for (const int32_t slot : slots) {
      if (!std::ranges::count(step.sequences, slot, &SlotRows::slot)) continue;
      return absl::InternalError(absl::StrCat("slot ", slot, " is closed while a step runs in it"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> ScriptedRunner::Collect() {
  if (flight_.empty()) return absl::InternalError("nothing is in flight");
  Launched step = std::move(flight_.front());
  flight_.pop_front();
  const BatchPlan& plan = *step.plan;
  for (const auto& [row, from] : step.sampled) step.ids[row] = sampled_.at(from), ++ahead_;
  CopyBlocks(step);
  for (const SlotRows& rows : step.sequences) WritePages(step, rows);
  StepResult result;
  std::vector<const SampleSpec*> specs;
  auto rows = step.sequences.begin();
  for (size_t i = 0; i < plan.wanted.size(); ++i) {
    while (plan.wanted[i].row >= rows->first_row + rows->rows) ++rows;
    const int64_t position = rows->position + plan.wanted[i].row - rows->first_row;
    specs.push_back(&step.specs[i]);
    result.tokens.push_back(SampleToken(options_, ReadPages(*rows, position), step.specs[i]));
  }
  if (options_.on_collect) options_.on_collect(plan, specs, result);
  TakeSampled(result, sampled_);
  slots_.Collect(result);
  return result;
}

void ScriptedRunner::CopyBlocks(const Launched& step) {
  for (const auto& [from, to] : step.copies) {
    std::copy_n(pages_.begin() + int64_t{from} * kBlockTokens, kBlockTokens,
                pages_.begin() + int64_t{to} * kBlockTokens);
    ++copies_;
  }
}

void ScriptedRunner::WritePages(const Launched& step, const SlotRows& rows) {
  for (int64_t i = 0; i < rows.rows; ++i) {
    const int64_t position = rows.position + i;
    const uint64_t previous = position > 0 ? Page(rows, position - 1) : 0;
    Page(rows, position) =
        PageValue(previous, step.ids[rows.first_row + i], position, rows.scaled_rope, rows.adapter);
  }
}

uint64_t ScriptedRunner::ReadPages(const SlotRows& rows, int64_t position) const {
  uint64_t attention = 0;
  for (int64_t p = 0; p <= position; ++p) {
    attention = Mix(attention, pages_[rows.table[p / kBlockTokens] * kBlockTokens + p % kBlockTokens]);
  }
  return attention;
}

uint64_t& ScriptedRunner::Page(const SlotRows& rows, int64_t position) {
  return pages_[rows.table[position / kBlockTokens] * kBlockTokens + position % kBlockTokens];
}

absl::Status CheckWritesAreAlone(const SlotTable& slots) {
  absl::flat_hash_map<int32_t, int32_t> writers;  // by block
  for (const SlotRows& rows : slots.sequences()) {
    for (const int32_t block : rows.table.subspan(rows.position / kBlockTokens)) {
      if (writers.emplace(block, rows.slot).second) continue;
      return absl::InternalError(absl::StrCat("block ", block, " is written by two slots"));
    }
  }
  for (int32_t slot = 0; slot < std::ssize(slots.shapes()); ++slot) {
    for (const int32_t block : slots.table(slot)) {
      const auto writer = writers.find(block);
      if (writer == writers.end() || writer->second == slot) continue;
      return absl::InternalError(absl::StrCat("block ", block, " is written by slot ", writer->second,
                                              " and slot ", slot, " has it"));
    }
  }
  return absl::OkStatus();
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

SampledToken ScriptedScore(const std::vector<TokenId>& tokens, bool scaled_rope, int32_t top_logprobs) {
  uint64_t attention = 0, page = 0;
  for (size_t p = 0; p + 1 < tokens.size(); ++p) {
    page = PageValue(page, tokens[p], static_cast<int64_t>(p), scaled_rope);
    attention = Mix(attention, page);
  }
  SampleSpec sample;
  sample.params.top_logprobs = top_logprobs;
  sample.scored = tokens.back();
  return ScoreToken(attention, sample);
}

}  // namespace quire::worker
