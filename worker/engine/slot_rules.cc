#include "worker/engine/slot_rules.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

class PlanChecker {
 public:
  PlanChecker(const BatchPlan& plan, const SlotLimits& limits, std::vector<SlotShape>& shapes)
      : plan_(plan), limits_(limits), shapes_(shapes) {}

  absl::Status Check() {
    QUIRE_RETURN_IF_ERROR(CheckSizes());
    for (SlotShape& shape : shapes_) shape.planned = false;
    for (const SlotOp& op : plan_.ops) {
      QUIRE_RETURN_IF_ERROR(std::visit([this](const auto& change) { return Change(change); }, op));
    }
    for (const SequencePlan& sequence : plan_.sequences) QUIRE_RETURN_IF_ERROR(Run(sequence));
    if (row_ != std::ssize(plan_.ids) || block_ != std::ssize(plan_.blocks) ||
        wanted_ != std::ssize(plan_.wanted)) {
      return Wrong("ids, blocks or wanted rows are nobody's");
    }
    if (limits_.samples &&
        (opened_ != plan_.openings.size() || plan_.samples.size() != plan_.wanted.size())) {
      return Wrong("rank 0 is not told by what each row is sampled");
    }
    return absl::OkStatus();
  }

 private:
  template <typename... Parts>
  absl::Status Wrong(const Parts&... what) const {
    return absl::InternalError(absl::StrCat("step ", plan_.step, ": ", what...));
  }

  absl::Status CheckSizes() const {
    if (plan_.tokens() > limits_.batch_tokens || std::ssize(plan_.wanted) > limits_.wanted_rows) {
      return Wrong("it has ", plan_.tokens(), " tokens and wants ", plan_.wanted.size(),
                   " rows; there is room for ", limits_.batch_tokens, " and ", limits_.wanted_rows);
    }
    const auto below = [](const std::vector<int32_t>& numbers, int64_t end) {
      return std::ranges::all_of(numbers, [end](int32_t number) { return number >= 0 && number < end; });
    };
    if (!below(plan_.ids, limits_.token_ids)) return Wrong("a token id does not exist");
    if (!below(plan_.blocks, limits_.kv_blocks)) return Wrong("a KV block does not exist");
    const auto may_be_scored = [this](const WantedRow& wanted) {
      return wanted.scored >= -1 && wanted.scored < limits_.token_ids;
    };
    if (!std::ranges::all_of(plan_.wanted, may_be_scored)) return Wrong("a scored id does not exist");
    return absl::OkStatus();
  }

  // Null where there is none, or it is not as it must be.
  SlotShape* Find(int32_t slot, bool open) {
    const bool there = slot >= 0 && slot < std::ssize(shapes_) && shapes_[slot].open == open;
    return there ? &shapes_[slot] : nullptr;
  }
  int64_t ContextOf(const SlotShape& shape) const {
    return shape.scaled_rope ? limits_.scaled_context : limits_.plain_context;
  }

  absl::Status Change(const OpenSlot& op) {
    SlotShape* shape = Find(op.slot, /*open=*/false);
    if (shape == nullptr) return Wrong("slot ", op.slot, " can't be opened");
    if (op.scaled_rope != 0 && (op.scaled_rope != 1 || limits_.scaled_context == 0)) {
      return Wrong("a sequence wants scaled RoPE but the model was loaded without --rope-scaling");
    }
    if (op.adapter < 0 || op.adapter > limits_.adapters) return Wrong("there is no adapter ", op.adapter);
    if (op.blocks < 0 || op.blocks > std::ssize(plan_.blocks) - block_) return Wrong("blocks are missing");
    *shape = {.open = true, .scaled_rope = op.scaled_rope == 1, .adapter = op.adapter};
    shape->blocks = op.blocks;
    shape->position = shape->sure = shape->blocks * kBlockTokens;
    if (shape->position > ContextOf(*shape)) return Wrong("slot ", op.slot, " begins beyond its context");
    block_ += op.blocks;
    ++opened_;
    return CheckOpening(shape->position);
  }

  absl::Status CheckOpening(int64_t position) const {
    if (!limits_.samples || opened_ > plan_.openings.size()) return absl::OkStatus();  // Check counts them
    const SlotSampling& sampling = plan_.openings[opened_ - 1];
    const bool missing = sampling.params.penalizes() && sampling.tokens < position;
    return missing ? Wrong("tokens are missing that penalties count") : absl::OkStatus();
  }

  absl::Status Change(const ForkSlot& op) {
    const SlotShape* from = Find(op.from, /*open=*/true);
    SlotShape* shape = Find(op.slot, /*open=*/false);
    if (from == nullptr || shape == nullptr) return Wrong("slot ", op.slot, " can't be one like ", op.from);
    *shape = *from;
    return absl::OkStatus();
  }

  absl::Status Change(const CloseSlot& op) {
    SlotShape* shape = Find(op.slot, /*open=*/true);
    if (shape == nullptr) return Wrong("slot ", op.slot, " can't be closed");
    *shape = {};
    return absl::OkStatus();
  }

  absl::Status Change(const RollBack& op) {
    SlotShape* shape = Find(op.slot, /*open=*/true);
    if (shape == nullptr || op.position < shape->sure || op.position > shape->position) {
      return Wrong("slot ", op.slot, " can't be taken back to ", op.position);
    }
    shape->position = op.position;
    shape->blocks = BlocksFor(shape->position);
    return absl::OkStatus();
  }

  absl::Status Change(const CopyLastBlock& op) {
    const SlotShape* shape = Find(op.slot, /*open=*/true);
    if (shape == nullptr || shape->position % kBlockTokens == 0) {
      return Wrong("slot ", op.slot, " has no block that is full in part");
    }
    return op.block >= 0 && op.block < limits_.kv_blocks ? absl::OkStatus() : Wrong("no block to copy to");
  }

  absl::Status Run(const SequencePlan& sequence) {
    SlotShape* shape = Find(sequence.slot, /*open=*/true);
    if (shape == nullptr || shape->planned) return Wrong("slot ", sequence.slot, " can't run");
    const int64_t rows = sequence.rows, end = shape->position + rows;
    if (sequence.position != shape->position || rows < 1 || rows > plan_.tokens() - row_) {
      return Wrong(rows, " rows at position ", sequence.position, " are planned for slot ", sequence.slot,
                   " which is at ", shape->position);
    }
    if (end > ContextOf(*shape)) return Wrong("slot ", sequence.slot, " leaves its context");
    if (shape->blocks + sequence.blocks != BlocksFor(end) ||
        sequence.blocks > std::ssize(plan_.blocks) - block_) {
      return Wrong("the block table of slot ", sequence.slot, " is not as long as its positions need");
    }
    QUIRE_RETURN_IF_ERROR(Want(sequence, *shape));
    shape->planned = true;
    shape->position = end;
    shape->blocks += sequence.blocks;
    row_ += rows;
    block_ += sequence.blocks;
    return absl::OkStatus();
  }

  // What it wants: some of its rows, ascending, scored ones first. What comes behind the first of the others
  // is a guess.
  absl::Status Want(const SequencePlan& sequence, SlotShape& shape) {
    if (sequence.wanted < 0 || sequence.wanted > std::ssize(plan_.wanted) - wanted_) {
      return Wrong("wanted rows are missing");
    }
    int64_t before = row_;
    std::optional<int64_t> sampled;  // the first row
    for (int64_t i = wanted_; i < wanted_ + sequence.wanted; ++i) {
      if (plan_.wanted[i].row < before || plan_.wanted[i].row >= row_ + sequence.rows) {
        return Wrong("slot ", sequence.slot, " wants rows that are not its own, or in no order");
      }
      before = plan_.wanted[i].row;
      const bool scores = plan_.wanted[i].scored != -1;
      if (scores && sampled) return Wrong("slot ", sequence.slot, " scores a row behind one that it samples");
      if (!scores && !sampled) sampled = before;
    }
    shape.sure = shape.position + (sampled ? *sampled - row_ + 1 : sequence.rows);
    wanted_ += sequence.wanted;
    return absl::OkStatus();
  }

  const BatchPlan& plan_;
  const SlotLimits& limits_;
  std::vector<SlotShape>& shapes_;
  int64_t row_ = 0, block_ = 0, wanted_ = 0;  // so many were somebody's
  size_t opened_ = 0;
};

}  // namespace

absl::Status ApplyRules(const BatchPlan& plan, const SlotLimits& limits, std::vector<SlotShape>& shapes) {
  return PlanChecker(plan, limits, shapes).Check();
}

}  // namespace quire::worker
