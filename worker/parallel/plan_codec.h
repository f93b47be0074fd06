// Plans as bytes: int32 words, of which a step of n decoding sequences takes ten each and a few more. What
// rank 0 samples by stays with rank 0, and ids that were sampled go as what they are. Pure; both ends of a
// plan channel use it. What always holds: any bytes decode to a plan or are refused, and what is decoded is
// the plan's form only: whether it makes sense, the slot table says.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/statusor.h"
#include "worker/engine/batch_plan.h"
#include "worker/engine/scheduler.h"

namespace quire::worker {

// What bounds a plan, so that its buffer is large enough for any.
struct PlanLimits {
  int64_t max_sequences = 0, max_batch_tokens = 0, max_wanted_rows = 0;
  int64_t max_blocks = 0;  // of one sequence
};
PlanLimits PlanLimitsFor(const SchedulerLimits& limits, int64_t max_context);
// Of the largest plan in which each slot has one op of each kind at most (it may be closed and made anew in
// one plan, by a fork that copies its last block), and all the blocks that it may have are new.
int64_t PlanBytesFor(const PlanLimits& limits);

// `ids` are the plan's, resolved. Returns how many bytes it takes; where the buffer has fewer, what stands in
// it is of no use.
size_t EncodePlan(const BatchPlan& plan, std::span<const TokenId> ids, std::span<uint8_t> buffer);
// That no plan follows.
size_t EncodeStop(std::span<uint8_t> buffer);
// Nullopt: it was EncodeStop's. There may be more bytes than the plan's. Internal where they are no plan.
absl::StatusOr<std::optional<BatchPlan>> DecodePlan(std::span<const uint8_t> bytes);

}  // namespace quire::worker
