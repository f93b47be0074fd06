#include "worker/parallel/step_deadline.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace quire::worker {
namespace {

// Of the slowest machine that is still waited for: pages of weights from a disk, weights times tokens.
constexpr double kReadBytesPerUs = 100, kWeightBytesTokensPerUs = 4000;
// What was swapped out in a time is read back in so many times that: in small pieces.
constexpr int64_t kReadsBackPerIdle = 4;
// Of the slowest disk that weights are loaded from: a network's.
constexpr int64_t kLoadBytesPerUs = 10;

int ClassOf(int64_t count) { return std::bit_width(static_cast<uint64_t>(std::max<int64_t>(1, count))); }
// How much larger `count` is than anything of that class may have been.
double Growth(int64_t count, int of_class) {
  return std::max(1.0, static_cast<double>(count) / static_cast<double>(uint64_t{1} << (of_class - 1)));
}

}  // namespace

int64_t LoadLimitUs(int64_t load_us, int64_t weight_bytes) {
  constexpr int64_t kPatience = 10, kMinuteUs = 60'000'000;
  return kMinuteUs + std::max(kPatience * load_us, weight_bytes / kLoadBytesPerUs);
}

StepShape ShapeOf(const BatchPlan& plan) {
  StepShape shape{.prefill = false, .tokens = 0, .context = 1};
  for (const SequencePlan& sequence : plan.sequences) {
    shape.prefill = shape.prefill || sequence.rows > 1;
    shape.tokens += sequence.rows;
    shape.context = std::max(shape.context, int64_t{sequence.position} + sequence.rows);
  }
  return shape;
}

StepDeadline::Kind StepDeadline::KindOf(const StepShape& shape) {
  return {shape.prefill, ClassOf(shape.tokens), ClassOf(shape.context)};
}

// A group whose steps follow one another has its weights in memory.
int64_t StepDeadline::LimitUs(const StepShape& shape) const {
  if (us_per_token_.empty()) {
    return options_.floor_us + ReadUs() + static_cast<int64_t>(FirstGuessUs(shape));
  }
  const int64_t idle_us = options_.now_us() - last_end_us_;
  return std::max(options_.floor_us + std::min(ReadUs(), kReadsBackPerIdle * idle_us),
                  static_cast<int64_t>(static_cast<double>(options_.factor) * EstimateUs(shape)));
}

// Of all weights, from a disk.
int64_t StepDeadline::ReadUs() const {
  return static_cast<int64_t>(static_cast<double>(options_.weight_bytes) / kReadBytesPerUs);
}

double StepDeadline::FirstGuessUs(const StepShape& shape) const {
  return static_cast<double>(options_.weight_bytes) * static_cast<double>(shape.tokens) /
         kWeightBytesTokensPerUs;
}

double StepDeadline::EstimateUs(const StepShape& shape) const {
  const auto [prefill, tokens, context] = KindOf(shape);
  const auto distance = [&, prefill = prefill, tokens = tokens, context = context](const Kind& kind) {
    const auto [other_prefill, other_tokens, other_context] = kind;
    return (prefill != other_prefill) * 1000 + std::abs(tokens - other_tokens) +
           std::abs(context - other_context);
  };
  const auto nearest =
      std::min_element(us_per_token_.begin(), us_per_token_.end(),
                       [&](const auto& a, const auto& b) { return distance(a.first) < distance(b.first); });
  const auto [kind, us_per_token] = *nearest;
  if (kind == KindOf(shape)) return us_per_token * static_cast<double>(shape.tokens);
  // Never scaled down: the least step reads all weights, as the largest does.
  const auto least_tokens = static_cast<double>(int64_t{1} << (std::get<1>(kind) - 1));
  return us_per_token * least_tokens * Growth(shape.tokens, std::get<1>(kind)) *
         Growth(shape.context, std::get<2>(kind));
}

void StepDeadline::Observe(const StepShape& shape, int64_t took_us) {
  last_end_us_ = options_.now_us();
  const double took = static_cast<double>(took_us) / static_cast<double>(std::max<int64_t>(1, shape.tokens));
  const auto [it, first] = us_per_token_.try_emplace(KindOf(shape), took);
  if (first) return;
  double& estimate = it->second;
  // Rises fast and falls slowly, so it stays near the slowest steps of its kind.
  estimate += took > estimate ? (std::min(took, 4 * estimate) - estimate) / 2 : (took - estimate) / 32;
}

}  // namespace quire::worker
