// What each rank of a group says of itself before work begins, and the check that all say the same. A record
// is names and values; it travels as text through Rendezvous::AllGather. Pure, but for AgreeOn, of the thread
// that starts the rank.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/rendezvous.h"
#include "worker/parallel/rank_group.h"

namespace quire::worker {

using RankRecord = std::vector<std::pair<std::string, std::string>>;

// A line per value: "name=value". Neither holds a line feed, a name no '='.
std::string EncodeRecord(const RankRecord& record);

// InvalidArgument names the first rank, and its first value, that is not as rank 0's.
absl::Status CheckEqual(std::span<const std::string> records);

// Whether all ranks say so: each of them hears the same.
absl::StatusOr<bool> AllSay(bool mine, kernels::Rendezvous& rendezvous);

// Returns once every rank said the same.
absl::Status AgreeOn(const RankRecord& mine, kernels::Rendezvous& rendezvous,
                     int64_t limit_us = kernels::Rendezvous::kUsualLimitUs);
// The same, of `mine` and of its buffers.
absl::Status AgreeOn(RankRecord mine, const BufferSizes& buffers, kernels::Rendezvous& rendezvous,
                     int64_t timeout_ms);

}  // namespace quire::worker
