// Which group gets a request: the decision alone, pure. A group must have room for the request's reservation;
// among those the best is score = prefix match - kLoadWeight x (load above the least loaded one). Load is
// counted by the caller from its own reservations at the moment of the pick. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quire::coordinator {

struct Candidate {
  std::string id;
  uint64_t capacity_blocks = 0;
  uint64_t reserved_blocks = 0;
  uint64_t open_requests = 0;
  uint64_t max_requests = 0;  // 0 = no limit
  double prefix_match = 0;    // expected part of the prompt in its cache, 0..1
  bool same_numerics = true;  // as the request ran on before, if it did
};

// A whole prefix match is worth half of a group's capacity in load.
inline constexpr double kLoadWeight = 2.0;

// What a match is worth, 0..1: its part of the prompt, in full from 1024 tokens on. A short prefix, such as a
// chat template's beginning that every prompt shares, saves next to nothing and must not pile requests on one
// group.
double PrefixValue(uint64_t matched_blocks, uint64_t prompt_blocks);

// Fraction of the group that is taken: of its blocks or of its sequences, whichever is more.
double LoadOf(const Candidate& candidate);

// Index of the picked one; none has room: nullopt. Ties go to the fewest open requests, then to the first.
std::optional<size_t> PickGroup(const std::vector<Candidate>& candidates, uint64_t blocks);

}  // namespace quire::coordinator
