// What a plan may do to the slots of a rank. A plan may come from another process, and what is wrong in it
// would be read as an address later: so all of it is looked at before anything is done. Pure; the slot table
// asks, before each step.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/engine/batch_plan.h"

namespace quire::worker {

struct SlotLimits {
  int64_t slots = 0;
  int64_t batch_tokens = 0, wanted_rows = 0;      // of a step
  int64_t kv_blocks = 0, token_ids = 0;           // each number is below
  int64_t plain_context = 0, scaled_context = 0;  // positions; 0: there is no such RoPE
  int64_t adapters = 0;                           // those that are loaded are 1 to this
  bool samples = true;                            // rank 0
  bool ids_on_device = false;  // those that a step samples are where the next one reads them
};

// Of one slot, all that rules are about.
struct SlotShape {
  bool open = false;
  bool planned = false;  // by the plan that is looked at
  bool scaled_rope = false;
  int32_t adapter = 0;
  int64_t position = 0;  // tokens that were run
  int64_t sure = 0;      // and those of them that no RollBack takes back
  int64_t blocks = 0;    // of the table: as many as they need
  bool operator==(const SlotShape&) const = default;
};

// Moves the shapes by one plan; sampled rows are somebody else's (SlotTable). Internal, and the shapes are
// anything, where the plan breaks a rule.
absl::Status ApplyRules(const BatchPlan& plan, const SlotLimits& limits, std::vector<SlotShape>& shapes);

}  // namespace quire::worker
