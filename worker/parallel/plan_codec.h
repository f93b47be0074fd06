// What rank 0 tells its followers, as bytes. Plans: int32 words, of which a step of n decoding sequences
// takes eleven each and a few more. What rank 0 samples by stays with rank 0. Pure; both ends of a plan
// channel use it. What always holds: any bytes decode to an order or are refused, and what is decoded is a
// plan's form only: whether it makes sense, the slot table says.
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

// `resolved` are the plan's ids where those that were sampled go as what they are; nullopt: as the rows that
// sampled them. Returns how many bytes it takes; where the buffer has fewer, what stands in it is of no use.
size_t EncodePlan(const BatchPlan& plan, std::optional<std::span<const TokenId>> resolved,
                  std::span<uint8_t> buffer);

// kCollect: no plan follows for now, so that what is in flight is waited for. kStop: none follows at all.
enum class FollowerOrder : int32_t { kStop = 0, kPlan = 1, kCollect = 2 };
size_t EncodeOrder(FollowerOrder order, std::span<uint8_t> buffer);  // not kPlan

struct DecodedOrder {
  FollowerOrder order = FollowerOrder::kStop;
  BatchPlan plan;  // of kPlan
};
// There may be more bytes than the order's. Internal where they are none.
absl::StatusOr<DecodedOrder> DecodeOrder(std::span<const uint8_t> bytes);

}  // namespace quire::worker
