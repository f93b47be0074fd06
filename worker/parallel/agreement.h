// What each rank of a group says of itself before work begins, and the check that all say the same. A record
// is names and values; it travels as text through RankGroup::AllGather. Pure.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace quire::worker {

using RankRecord = std::vector<std::pair<std::string, std::string>>;

// A line per value: "name=value". Neither holds a line feed, a name no '='.
std::string EncodeRecord(const RankRecord& record);

// InvalidArgument names the first rank, and its first value, that is not as rank 0's.
absl::Status CheckEqual(std::span<const std::string> records);

}  // namespace quire::worker
