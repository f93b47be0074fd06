// What tests of backends share: a step whose room is reserved as it begins, each sequence in a slot of its
// own with its whole table. Test-only, header only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace quire::kernels {

inline void BeginTestStep(Backend& backend, StepInputs inputs) {
  StepLimits limits{.tokens = std::ssize(inputs.ids),
                    .sequences = std::ssize(inputs.sequences),
                    .wanted_rows = std::ssize(inputs.wanted_rows)};
  std::vector<SequenceRows> sequences(inputs.sequences.begin(), inputs.sequences.end());
  for (size_t i = 0; i < sequences.size(); ++i) {
    sequences[i].slot = static_cast<int64_t>(i);
    limits.table_blocks = std::max(limits.table_blocks, std::ssize(sequences[i].blocks));
  }
  inputs.sequences = sequences;
  if (!backend.ReserveStep(limits).ok()) std::abort();
  backend.BeginStep(inputs);
}

// Of ids that don't matter, for as many rows as the sequences reach.
inline void BeginTestStep(Backend& backend, std::span<const SequenceRows> sequences) {
  int64_t tokens = 0;
  for (const SequenceRows& s : sequences) tokens = std::max(tokens, s.first_row + s.rows);
  const std::vector<int32_t> ids(tokens);
  BeginTestStep(backend, {.ids = ids, .sequences = sequences, .wanted_rows = {}});
}

}  // namespace quire::kernels
