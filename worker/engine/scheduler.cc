#include "worker/engine/scheduler.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quire::worker {
namespace {

// Of the decodes' own time, for prompts: where the target leaves less, it is none that could be kept.
constexpr double kLeastOfDecodes = 0.5;

// What a step has left for prompts, dealt to one after another: each may take its even share, and what one
// leaves goes to the next. So whoever can take fewest rows comes first.
class PromptBudget {
 public:
  PromptBudget(const SchedulerLimits& limits, const StepPrices& prices, const StepWork& decodes,
               int64_t prompts, int64_t scorers)
      : scorers_(scorers),
        chunk_(limits.prefill_chunk),
        prices_(prices),
        sharers_(prompts),
        tokens_(limits.max_batch_tokens - decodes.decode_rows) {
    if (limits.target_step_ms == 0 || decodes.decode_rows == 0) return;
    const double decodes_us = prices.TimeOf(decodes);
    us_ =
        std::max(static_cast<double>(limits.target_step_ms) * 1e3 - decodes_us, kLeastOfDecodes * decodes_us);
    tokens_ = std::min(tokens_, std::max(prices.known_prompt_rows, prompts));
  }

  // How many rows the next prompt gets.
  int64_t Take(const Sequence& prompt) {
    const int64_t position = prompt.planned();
    const int64_t remaining = prompt.scores() ? TakeScores(prompt) : prompt.remaining();
    const int64_t in_time = prices_.PromptRowsWithin(us_ / static_cast<double>(sharers_), position);
    const int64_t least = std::max<int64_t>(1, block_ / sharers_);
    const int64_t rows = std::min({remaining, chunk_, tokens_ / sharers_, std::max(in_time, least)});
    --sharers_;
    tokens_ -= rows;
    block_ -= rows;
    us_ -= prices_.TimeOf({0, rows, KeysOf(position, rows)}) - prices_.step_us;
    return rows;
  }

 private:
  // Rows in which it scores no more than its share; counted as all of that, for the chunk may be smaller.
  int64_t TakeScores(const Sequence& prompt) {
    const int64_t share = scores_ / scorers_--;
    scores_ -= share;
    return prompt.RowsThatScore(share);
  }

  int64_t scorers_;
  int64_t scores_ = SchedulerLimits::kScoredRows;  // beside one that each may have
  const int64_t chunk_;
  const StepPrices& prices_;
  int64_t sharers_;
  int64_t tokens_;
  int64_t block_ = kBlockTokens;  // what goes on in any case
  double us_ = std::numeric_limits<double>::infinity();
};

}  // namespace

absl::Status SchedulerLimits::Check() const {
  if (max_sequences < 1) return absl::InvalidArgumentError("--max-sequences must be at least 1");
  if (headroom_tokens < 0) return absl::InvalidArgumentError("--admit-headroom must be at least 0");
  if (prefill_chunk < 1) return absl::InvalidArgumentError("--prefill-chunk must be at least 1");
  if (target_step_ms < 0) return absl::InvalidArgumentError("--target-step-ms must be at least 0");
  if (max_batch_tokens < max_sequences) {
    return absl::InvalidArgumentError(absl::StrCat("--max-batch-tokens ", max_batch_tokens,
                                                   " is less than --max-sequences ", max_sequences,
                                                   ": every running sequence needs a token in each step"));
  }
  return absl::OkStatus();
}

Scheduler::Scheduler(const SchedulerLimits& limits, PrefixCache* cache) : limits_(limits), cache_(cache) {
  for (int64_t slot = limits.max_sequences - 1; slot >= 0; --slot) {
    free_slots_.push_back(static_cast<int32_t>(slot));
  }
}

absl::Status Scheduler::CheckFits(const Sequence& sequence) const {
  const int64_t room = int64_t{cache_->total()} * kBlockTokens;
  if (sequence.longest() <= room) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the request needs ", sequence.longest(),
                                                 " positions of KV cache and this group has ", room,
                                                 ": shorten the prompt or lower max_tokens"));
}

void Scheduler::Add(Sequence* sequence) { waiting_.push_back({.sequence = sequence}); }

void Scheduler::Remove(Sequence* sequence) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.sequence == sequence; });
  if (std::erase(running_, sequence) > 0) ForgetDonor(sequence);
  Vacate(sequence);
}

void Scheduler::Vacate(Sequence* sequence) {
  const std::optional<int32_t> slot = sequence->slot();
  if (slot && !UndoFork(*slot)) {
    held_.push_back({next_step_ - 1, *slot, sequence->TakeBlocks()});
    if (!in_flight()) FreeHeld();
    return;
  }
  if (slot) free_slots_.push_back(*slot);
  sequence->ReleaseBlocks();
}

bool Scheduler::UndoFork(int32_t slot) {
  const auto makes = [slot](const SlotOp& op) {
    const auto* fork = std::get_if<ForkSlot>(&op);
    const auto* copy = std::get_if<CopyLastBlock>(&op);
    return (fork != nullptr && fork->slot == slot) || (copy != nullptr && copy->slot == slot);
  };
  return std::erase_if(next_ops_, makes) > 0;
}

void Scheduler::Collected(uint64_t step) {
  collected_ = step;
  while (!held_.empty() && held_.front().step <= step) FreeHeld();
}

void Scheduler::FreeHeld() {
  Held& held = held_.front();
  next_ops_.push_back(CloseSlot{held.slot});
  free_slots_.push_back(held.slot);
  while (!held.blocks.empty()) held.blocks.pop_back();  // backwards, as Sequence::ReleaseBlocks does
  held_.pop_front();
}

Step Scheduler::Schedule(const StepPrices& prices) {
  Step step;
  if (in_flight()) {
    if (!MayRunAhead()) return step;
  } else {
    GrowRunning();
  }
  step.plan.ops.swap(next_ops_);  // before their slots are opened again
  Admit(step);
  std::ranges::copy_if(running_, std::back_inserter(step.sequences),
                       [](const Sequence* sequence) { return !sequence->EndsByLength(); });
  if (step.sequences.empty()) {
    step.plan.ops.swap(next_ops_);  // the next plan says so
    return step;
  }
  step.plan.step = next_step_++;
  ShareBudget(prices, step);
  return step;
}

bool Scheduler::MayRunAhead() {
  return std::ranges::all_of(running_, [this](Sequence* sequence) {
    return sequence->EndsByLength() || (sequence->MayRunAhead() && sequence->GrowBlocks(*cache_));
  });
}

void Scheduler::GrowRunning() {
  // By index: a preemption shortens the list from its end.
  for (size_t i = 0; i < running_.size(); ++i) {
    if (!MakeRoomFor(running_[i])) return;
  }
}

// False if the sequence itself was the last admitted and had to go.
bool Scheduler::MakeRoomFor(Sequence* sequence) {
  while (!sequence->GrowBlocks(*cache_)) {
    Sequence* victim = running_.back();
    Preempt(victim);
    if (victim == sequence) return false;
  }
  return true;
}

void Scheduler::Preempt(Sequence* victim) {
  running_.pop_back();
  ForgetDonor(victim);
  Vacate(victim);
  waiting_.push_front({.sequence = victim});
  ++preemptions_;
}

void Scheduler::Admit(Step& step) {
  if (waiting_.empty()) return;
  int64_t room = RoomToGrow(), places = std::ssize(free_slots_);
  for (auto next = waiting_.begin(); next != waiting_.end() && places > 0; --places) {
    Sequence* sequence = next->sequence;
    const int64_t growth = sequence->BlocksToGrow(limits_.headroom_tokens);
    if (WaitsForDonor(*next)) {  // what it will need is kept for it
      room += BlocksFor(sequence->size()) - next->common_blocks + growth;
      ++next;
      continue;
    }
    // Alone it may use all there is.
    if (!sequence->AcquireBlocks(*cache_, running_.empty() ? 0 : room + growth)) return;
    room += growth;
    next = waiting_.erase(next);
    running_.push_back(sequence);
    sequence->OpenSlot(TakeSlot(), step.plan);
    step.admitted.push_back(sequence);
  }
}

// Not for one that decodes, or scores its prompt: a block that fills by a few tokens a step is sooner
// computed than waited for.
bool Scheduler::WaitsForDonor(Waiting& waiting) const {
  const auto next_block = [](const Sequence* sequence) { return sequence->computed() / kBlockTokens; };
  const auto reads_prompt = [](const Sequence* sequence) {
    return sequence->size() - sequence->computed() > 1 && !sequence->scores();
  };
  const Sequence* last = waiting.donor;
  if (last != nullptr && waiting.sequence->MayForkFrom(*last)) return true;
  if (last != nullptr && reads_prompt(last) && next_block(last) < waiting.common_blocks) return true;
  waiting.donor = nullptr;
  for (const Sequence* running : running_) {
    const bool forks = waiting.sequence->MayForkFrom(*running);
    const int64_t block = next_block(running);
    const bool shares = reads_prompt(running) && waiting.sequence->HasInCommon(*running, block) &&
                        !cache_->Knows(running->HashOf(block));  // else it is computed twice already
    if (!forks && !shares) continue;
    waiting.donor = running;
    waiting.common_blocks = waiting.sequence->BlocksInCommon(*running);
    return true;
  }
  return false;
}

void Scheduler::ForgetDonor(const Sequence* gone) {
  for (Waiting& waiting : waiting_) {
    if (waiting.donor == gone) waiting.donor = nullptr;
  }
}

// In their order of arrival, as Admit does, and with as much room left.
void Scheduler::AdmitForks(Sequence* first, Step& step) {
  int64_t room = RoomToGrow(), places = std::ssize(free_slots_);
  for (auto next = waiting_.begin(); next != waiting_.end() && places > 0; --places) {
    Sequence* sequence = next->sequence;
    const int64_t growth = sequence->BlocksToGrow(limits_.headroom_tokens);
    if (next->donor != first || !sequence->MayForkFrom(*first)) {
      if (next->donor == nullptr) return;  // nobody overtakes one for whom there was no room
      room += BlocksFor(sequence->size()) - next->common_blocks + growth;
      ++next;
      continue;
    }
    if (!sequence->AcquireForkBlocks(*first, *cache_, room + growth)) return;
    sequence->ForkSlot(TakeSlot(), *first, step.plan, next_ops_);
    room += growth;
    next = waiting_.erase(next);
    running_.push_back(sequence);
    step.sampled.push_back(sequence);
  }
}

int32_t Scheduler::TakeSlot() {
  const int32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

int64_t Scheduler::RoomToGrow() const {
  int64_t blocks = 0;
  for (const Sequence* sequence : running_) blocks += sequence->BlocksToGrow(limits_.headroom_tokens);
  return blocks;
}

void Scheduler::ShareBudget(const StepPrices& prices, Step& step) {
  const auto is_prompt = [](const Sequence* sequence) { return sequence->remaining() > 1; };
  const int64_t scorers = std::ranges::count_if(
      step.sequences, [&](const Sequence* sequence) { return is_prompt(sequence) && sequence->scores(); });
  // Those that can take few rows first, so that what they leave goes to the others: short ones, and those
  // that score many. Decodes, with one token left, come first of all.
  const int64_t scores = SchedulerLimits::kScoredRows / std::max<int64_t>(1, scorers);
  std::ranges::stable_sort(step.sequences, {}, [&](const Sequence* sequence) {
    return std::pair(is_prompt(sequence), sequence->RowsThatScore(scores));
  });
  StepWork& work = step.work;
  for (const Sequence* sequence : step.sequences) {
    if (is_prompt(sequence)) break;
    ++work.decode_rows;
    work.keys += KeysOf(sequence->planned(), 1);
  }
  const auto prompts = std::span(step.sequences).subspan(static_cast<size_t>(work.decode_rows));
  PromptBudget budget(limits_, prices, work, std::ssize(prompts), scorers);
  for (Sequence* sequence : step.sequences) {
    const int64_t remaining = sequence->remaining(), position = sequence->planned();
    const int64_t rows = remaining == 1 ? 1 : budget.Take(*sequence);
    const bool begins = sequence->output().empty() && !sequence->awaits_token();
    sequence->Plan(rows, step.plan);
    step.sampled.insert(step.sampled.end(), step.plan.sequences.back().wanted, sequence);
    if (rows == remaining && begins) AdmitForks(sequence, step);
    if (remaining == 1) continue;
    work.prompt_rows += rows;
    work.keys += KeysOf(position, rows);
  }
}

}  // namespace quire::worker
