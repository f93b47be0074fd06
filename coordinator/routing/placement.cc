#include "coordinator/routing/placement.h"

#include <algorithm>
#include <tuple>

#include "base/core/hash.h"

namespace quire::coordinator {
namespace {

double Fraction(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

bool HasRoom(const Candidate& candidate, uint64_t blocks) {
  return candidate.reserved_blocks + blocks <= candidate.capacity_blocks &&
         (candidate.max_requests == 0 || candidate.open_requests < candidate.max_requests);
}

}  // namespace

double PrefixValue(uint64_t matched_blocks, uint64_t prompt_blocks) {
  constexpr double kFullValueBlocks = 1024.0 / kBlockTokens;
  const auto matched = static_cast<double>(matched_blocks);
  return std::min(1.0, Fraction(matched_blocks, prompt_blocks)) * std::min(1.0, matched / kFullValueBlocks);
}

double LoadOf(const Candidate& candidate) {
  return std::max(Fraction(candidate.reserved_blocks, candidate.capacity_blocks),
                  Fraction(candidate.open_requests, candidate.max_requests));
}

std::optional<size_t> PickGroup(const std::vector<Candidate>& candidates, uint64_t blocks) {
  std::vector<size_t> fitting;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (HasRoom(candidates[i], blocks)) fitting.push_back(i);
  }
  if (fitting.empty()) return std::nullopt;
  double least_load = LoadOf(candidates[fitting[0]]);
  for (size_t i : fitting) least_load = std::min(least_load, LoadOf(candidates[i]));
  auto rank = [&](size_t i) {  // smaller is better
    const Candidate& candidate = candidates[i];
    const double score = candidate.prefix_match - kLoadWeight * (LoadOf(candidate) - least_load);
    return std::make_tuple(!candidate.same_numerics, -score, candidate.open_requests);
  };
  return *std::min_element(fitting.begin(), fitting.end(),
                           [&](size_t a, size_t b) { return rank(a) < rank(b); });
}

}  // namespace quire::coordinator
