#include "worker/parallel/plan_codec.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/core/hash.h"

namespace quire::worker {
namespace {

// [FollowerOrder], and of a plan [step's low half, its high half, ops, sequences, ids, blocks, wanted rows],
// then each of these in turn. An op is [its index in SlotOp] and its struct.
constexpr int64_t kHeadWords = 8;

class Writer {
 public:
  explicit Writer(std::span<uint8_t> buffer) : buffer_(buffer) {}
  void Word(int64_t value) { Value(static_cast<int32_t>(value)); }
  template <typename T>
  void Value(const T& value) {
    Values(std::span(&value, 1));
  }
  template <typename T>
  void Values(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(int32_t) == 0);
    const size_t size = values.size_bytes();
    // An empty span's data may be null, which memcpy must not be given.
    if (size > 0 && size <= buffer_.size() - std::min(used_, buffer_.size())) {
      std::memcpy(buffer_.data() + used_, values.data(), size);
    }
    used_ += size;
  }
  size_t used() const { return used_; }

 private:
  std::span<uint8_t> buffer_;
  size_t used_ = 0;
};

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  int32_t Word() { return Value<int32_t>(); }
  template <typename T>
  T Value() {
    T value{};
    Read(std::span(&value, 1));
    return value;
  }
  template <typename T>
  void Values(int64_t count, std::vector<T>& to) {
    if (count < 0 || static_cast<uint64_t>(count) > bytes_.size() / sizeof(T)) return Fail();
    to.resize(count);
    Read(std::span(to));
  }
  void Fail() {
    failed_ = true;
    bytes_ = {};
  }
  bool failed() const { return failed_; }

 private:
  template <typename T>
  void Read(std::span<T> to) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(int32_t) == 0);
    if (to.empty()) return;
    if (bytes_.size() < to.size_bytes()) return Fail();
    std::memcpy(to.data(), bytes_.data(), to.size_bytes());
    bytes_ = bytes_.subspan(to.size_bytes());
  }
  std::span<const uint8_t> bytes_;
  bool failed_ = false;
};

template <size_t index = 0>
SlotOp ReadOp(Reader& reader, int32_t kind) {
  if constexpr (index == std::variant_size_v<SlotOp>) {
    reader.Fail();
    return {};
  } else {
    if (kind != static_cast<int32_t>(index)) return ReadOp<index + 1>(reader, kind);
    return reader.Value<std::variant_alternative_t<index, SlotOp>>();
  }
}

BatchPlan ReadPlan(Reader& reader) {
  BatchPlan plan;
  const auto low = static_cast<uint32_t>(reader.Word());
  plan.step = static_cast<uint64_t>(static_cast<uint32_t>(reader.Word())) << 32 | low;
  const int32_t ops = reader.Word(), sequences = reader.Word(), ids = reader.Word(), blocks = reader.Word();
  const int32_t wanted = reader.Word();
  if (ops < 0) reader.Fail();
  for (int32_t i = 0; i < ops && !reader.failed(); ++i) plan.ops.push_back(ReadOp(reader, reader.Word()));
  reader.Values(sequences, plan.sequences);
  reader.Values(ids, plan.ids);
  reader.Values(blocks, plan.blocks);
  reader.Values(wanted, plan.wanted);
  return plan;
}

}  // namespace

PlanLimits PlanLimitsFor(const SchedulerLimits& limits, int64_t max_context) {
  return {limits.max_sequences, limits.max_batch_tokens, limits.wanted_rows(), BlocksFor(max_context)};
}

int64_t PlanBytesFor(const PlanLimits& limits) {
  constexpr int64_t kWord = sizeof(int32_t);
  constexpr int64_t kOps = 5 * kWord + sizeof(OpenSlot) + sizeof(ForkSlot) + sizeof(CloseSlot) +
                           sizeof(RollBack) + sizeof(CopyLastBlock);
  const int64_t slot = kOps + static_cast<int64_t>(sizeof(SequencePlan)) + limits.max_blocks * kWord;
  return limits.max_sequences * slot + limits.max_wanted_rows * static_cast<int64_t>(sizeof(WantedRow)) +
         kWord * (kHeadWords + limits.max_batch_tokens);
}

size_t EncodePlan(const BatchPlan& plan, std::optional<std::span<const TokenId>> resolved,
                  std::span<uint8_t> buffer) {
  const std::span<const TokenId> ids = resolved.value_or(plan.ids);
  Writer writer(buffer);
  writer.Value(FollowerOrder::kPlan);
  writer.Word(static_cast<int64_t>(plan.step));
  writer.Word(static_cast<int64_t>(plan.step >> 32));
  for (const size_t size :
       {plan.ops.size(), plan.sequences.size(), ids.size(), plan.blocks.size(), plan.wanted.size()}) {
    writer.Word(static_cast<int64_t>(size));
  }
  for (const SlotOp& op : plan.ops) {
    writer.Word(static_cast<int64_t>(op.index()));
    std::visit([&](const auto& change) { writer.Value(change); }, op);
  }
  for (SequencePlan sequence : plan.sequences) {
    if (resolved) sequence.sampled_row = -1;
    writer.Value(sequence);
  }
  writer.Values(ids);
  writer.Values(std::span(plan.blocks));
  writer.Values(std::span(plan.wanted));
  return writer.used();
}

size_t EncodeOrder(FollowerOrder order, std::span<uint8_t> buffer) {
  Writer writer(buffer);
  writer.Value(order);
  return writer.used();
}

absl::StatusOr<DecodedOrder> DecodeOrder(std::span<const uint8_t> bytes) {
  Reader reader(bytes);
  DecodedOrder decoded{reader.Value<FollowerOrder>(), {}};
  if (decoded.order < FollowerOrder::kStop || decoded.order > FollowerOrder::kCollect) reader.Fail();
  if (decoded.order == FollowerOrder::kPlan) decoded.plan = ReadPlan(reader);
  if (reader.failed()) return absl::InternalError("an order of rank 0 does not decode");
  return decoded;
}

}  // namespace quire::worker
