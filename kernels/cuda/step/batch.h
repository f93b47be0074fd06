// What a step is given, on the host: tokens of sequences become rows, with their positions, slots in the
// pages, and attention's plan. A pure function of the spans and the device's size; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/sampling/sample_rows.h"
#include "kernels/cuda/step/shape.h"

namespace quire::kernels::cuda {

// ids at position, position + 1, ... of one sequence; its pages hold all up to there. One token is sampled,
// behind the last.
struct StepSpan {
  std::span<const int32_t> ids;
  int32_t position = 0;
  std::span<const int32_t> pages;
  SampleRule rule;
};

struct StepBatch {
  std::vector<int32_t> ids, positions, slots;  // of each token
  std::vector<int32_t> last_rows;              // of each sequence: the row of its last token
  std::vector<SampleRule> rules;               // of each sequence
  AttentionPlan attention;
  std::string error;  // "", or why no step can be made of the spans
};

// processors: of the device. partial_rows: of attention, that there is room for.
StepBatch MakeStepBatch(const StepShape& shape, std::span<const StepSpan> spans, int processors,
                        int64_t partial_rows);

// How many decode steps, one after another, the plan of a batch holds for: until the first of its sequences
// meets another split. A graph captured with it holds as long.
int StepsOfPlan(const StepBatch& batch);

}  // namespace quire::kernels::cuda
