// Rows of logits and ways to sample from them that a sampler could get wrong, and how two samplers' tokens
// differ. Test-only, without a test framework: a program for GPUs uses them, too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/sampling/sample_spec.h"

namespace quire::kernels {

// Each kind once: spread wide and narrow, many ties, all equal, one peak, two steps, the ends of fp32.
std::vector<std::vector<float>> UglyRows(int64_t ids, uint32_t seed);

// What the penalties of AssortedSpecs count.
inline constexpr TokenId kCountedPrompt[] = {0, 3, 3, 70, 1 << 20};
inline constexpr TokenId kCountedOutput[] = {3, 5, 5, 1, -1, 1 << 20, 5, 40, 0};

// Of any of the parameters, `count` combinations; every fifth has bias, masks and penalties,
// every seventh a grammar's mask; every eleventh is scored, not sampled, by an id that may be one of two
// more.
std::vector<SampleSpec> AssortedSpecs(int64_t ids, int64_t count, uint32_t seed);

// "", or what is another bit than is wanted.
std::string DifferenceOf(const SampledToken& got, const SampledToken& want);

}  // namespace quire::kernels
