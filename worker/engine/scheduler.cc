#include "worker/engine/scheduler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace quire::worker {

absl::Status SchedulerLimits::Check() const {
  if (max_sequences < 1) return absl::InvalidArgumentError("--max-sequences must be at least 1");
  if (headroom_tokens < 0) return absl::InvalidArgumentError("--admit-headroom must be at least 0");
  if (prefill_chunk < 1) return absl::InvalidArgumentError("--prefill-chunk must be at least 1");
  if (max_batch_tokens < max_sequences) {
    return absl::InvalidArgumentError(absl::StrCat("--max-batch-tokens ", max_batch_tokens,
                                                   " is less than --max-sequences ", max_sequences,
                                                   ": every running sequence needs a token in each step"));
  }
  return absl::OkStatus();
}

Scheduler::Scheduler(const SchedulerLimits& limits, PrefixCache* cache) : limits_(limits), cache_(cache) {}

absl::Status Scheduler::CheckFits(const Sequence& sequence) const {
  const int64_t room = int64_t{cache_->total()} * kBlockTokens;
  if (sequence.longest() <= room) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the request needs ", sequence.longest(),
                                                 " positions of KV cache and this group has ", room,
                                                 ": shorten the prompt or lower max_tokens"));
}

void Scheduler::Add(Sequence* sequence) { waiting_.push_back(sequence); }

void Scheduler::Remove(Sequence* sequence) {
  std::erase(waiting_, sequence);
  std::erase(running_, sequence);
  sequence->ReleaseBlocks();
}

Step Scheduler::Schedule() {
  Step step;
  GrowRunning();
  Admit(step);
  ShareTokens(step);
  if (!step.sequences.empty()) step.plan.step = next_step_++;
  return step;
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
  victim->ReleaseBlocks();
  waiting_.push_front(victim);
  ++preemptions_;
}

void Scheduler::Admit(Step& step) {
  if (waiting_.empty()) return;
  int64_t room = RoomToGrow();
  while (!waiting_.empty() && running() < limits_.max_sequences) {
    Sequence* sequence = waiting_.front();
    // Alone it may use all there is.
    const int64_t growth = sequence->BlocksToGrow(limits_.headroom_tokens);
    if (!sequence->AcquireBlocks(*cache_, running_.empty() ? 0 : room + growth)) return;
    room += growth;
    waiting_.pop_front();
    running_.push_back(sequence);
    step.admitted.push_back(sequence);
  }
}

int64_t Scheduler::RoomToGrow() const {
  int64_t blocks = 0;
  for (const Sequence* sequence : running_) blocks += sequence->BlocksToGrow(limits_.headroom_tokens);
  return blocks;
}

void Scheduler::ShareTokens(Step& step) {
  // Shortest remainder first, so that what the short ones leave goes to the long ones. Decodes, with one
  // token left, come first of all.
  std::vector<Sequence*> order = running_;
  std::stable_sort(order.begin(), order.end(),
                   [](const Sequence* a, const Sequence* b) { return a->remaining() < b->remaining(); });
  int64_t budget = limits_.max_batch_tokens;
  int64_t sharers = running();
  for (Sequence* sequence : order) {
    const int64_t share = std::min(budget / sharers--, limits_.prefill_chunk);
    const int64_t rows = std::min(sequence->remaining(), share);
    step.plan.sequences.push_back(sequence->Plan(rows));
    step.sequences.push_back(sequence);
    budget -= rows;
  }
}

}  // namespace quire::worker
