#include "worker/parallel/plan_channel.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

// A plan in memory: int64 words. [kind, step, sequences], then per sequence [position, ids, blocks, flags,
// need] and the ids and blocks as int32, two to a word.
constexpr int64_t kStop = 0, kPlan = 1;
constexpr int64_t kStopLimitUs = 30'000'000;
constexpr int64_t kScaledRope = 1, kWantsLogits = 2;

class Writer {
 public:
  explicit Writer(std::span<uint8_t> buffer) : buffer_(buffer) {}
  void Word(int64_t value) { Bytes(&value, sizeof(value)); }
  void Ints(const std::vector<int32_t>& values) {
    Bytes(values.data(), values.size() * sizeof(int32_t));
    used_ = (used_ + 7) / 8 * 8;
  }
  bool overflown() const { return used_ > buffer_.size(); }
  size_t used() const { return used_; }

 private:
  void Bytes(const void* data, size_t size) {
    // An empty vector's data may be null, which memcpy must not be given.
    if (size > 0 && used_ + size <= buffer_.size()) std::memcpy(buffer_.data() + used_, data, size);
    used_ += size;
  }
  std::span<uint8_t> buffer_;
  size_t used_ = 0;
};

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> buffer) : buffer_(buffer) {}
  int64_t Word() {
    int64_t value = 0;
    Bytes(&value, sizeof(value));
    return value;
  }
  std::vector<int32_t> Ints(int64_t count) {
    if (failed_ || count < 0 || static_cast<uint64_t>(count) > (buffer_.size() - used_) / sizeof(int32_t)) {
      failed_ = true;
      return {};
    }
    std::vector<int32_t> values(static_cast<size_t>(count));
    Bytes(values.data(), values.size() * sizeof(int32_t));
    used_ = (used_ + 7) / 8 * 8;
    if (used_ <= buffer_.size()) return values;
    failed_ = true;  // it ends within a word
    return {};
  }
  bool failed() const { return failed_; }

 private:
  void Bytes(void* data, size_t size) {
    if (failed_ || used_ + size > buffer_.size()) {
      failed_ = true;
      return;
    }
    if (size > 0) std::memcpy(data, buffer_.data() + used_, size);
    used_ += size;
  }
  std::span<const uint8_t> buffer_;
  size_t used_ = 0;
  bool failed_ = false;
};

void Encode(const BatchPlan& plan, Writer& writer) {
  writer.Word(kPlan);
  writer.Word(static_cast<int64_t>(plan.step));
  writer.Word(static_cast<int64_t>(plan.sequences.size()));
  for (const SequencePlan& sequence : plan.sequences) {
    writer.Word(sequence.position);
    writer.Word(static_cast<int64_t>(sequence.ids.size()));
    writer.Word(static_cast<int64_t>(sequence.blocks.size()));
    writer.Word((sequence.scaled_rope ? kScaledRope : 0) | (sequence.wants_logits ? kWantsLogits : 0));
    writer.Word(NeedOf(sequence).Word());
    writer.Ints(sequence.ids);
    writer.Ints(sequence.blocks);
  }
}

SequencePlan DecodeSequence(Reader& reader) {
  SequencePlan sequence;
  sequence.position = reader.Word();
  const int64_t ids = reader.Word(), blocks = reader.Word(), flags = reader.Word();
  sequence.scaled_rope = (flags & kScaledRope) != 0;
  sequence.wants_logits = (flags & kWantsLogits) != 0;
  sequence.need = kernels::RowNeed::OfWord(reader.Word());
  sequence.ids = reader.Ints(ids);
  sequence.blocks = reader.Ints(blocks);
  return sequence;
}

}  // namespace

PlanLimits PlanLimitsFor(const SchedulerLimits& limits, int64_t max_context) {
  return {limits.max_sequences, limits.max_batch_tokens, BlocksFor(max_context)};
}

int64_t PlanBytesFor(const PlanLimits& limits) {
  constexpr int64_t kWord = 8;
  const int64_t blocks =
      (limits.max_blocks + 1) / 2;  // words; ids of a sequence fill at most half a word more
  return kWord * (3 + limits.max_sequences * (5 + blocks + 1) + (limits.max_batch_tokens + 1) / 2);
}

absl::Status PlanChannel::WaitForRoom() {
  liveness_.Enter(Phase::kSendingPlan);
  return plans_.AwaitTaken();
}

absl::Status PlanChannel::Send(const BatchPlan& plan) {
  if (liveness_.size() == 1) return absl::OkStatus();
  QUIRE_RETURN_IF_ERROR(WaitForRoom());
  Writer writer(plans_.buffer());
  Encode(plan, writer);
  if (writer.overflown()) {
    return absl::InvalidArgumentError(absl::StrCat("plan ", plan.step, " is larger than the plan buffer of ",
                                                   plans_.buffer().size(), " bytes"));
  }
  return plans_.Send(writer.used());
}

absl::Status PlanChannel::SendStop() {
  if (liveness_.size() == 1) return absl::OkStatus();
  liveness_.BeginTimed(0, kStopLimitUs);
  QUIRE_RETURN_IF_ERROR(WaitForRoom());
  Writer writer(plans_.buffer());
  writer.Word(kStop);
  QUIRE_RETURN_IF_ERROR(plans_.Send(writer.used()));
  QUIRE_RETURN_IF_ERROR(WaitForRoom());
  liveness_.EndTimed();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<BatchPlan>> PlanChannel::Receive() {
  liveness_.Enter(Phase::kAwaitingPlan);
  QUIRE_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, plans_.Receive());
  Reader reader(bytes);
  std::optional<BatchPlan> plan;
  if (reader.Word() == kPlan) {
    plan.emplace();
    plan->step = static_cast<uint64_t>(reader.Word());
    const int64_t sequences = reader.Word();
    for (int64_t i = 0; i < sequences && !reader.failed(); ++i) {
      plan->sequences.push_back(DecodeSequence(reader));
    }
  }
  if (reader.failed()) return absl::InternalError("a plan of rank 0 does not decode");
  if (!plan) liveness_.Leave();  // before rank 0 knows that all have read, and ends
  QUIRE_RETURN_IF_ERROR(plans_.Take());
  return plan;
}

}  // namespace quire::worker
