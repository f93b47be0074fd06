#include "coordinator/routing/token_conservation.h"

#include <utility>

namespace quire::coordinator {

bool TokenConservation::Beat(const GroupEpoch& group, uint64_t emitted) {
  Count& count = groups_[group];
  const bool too_many = std::exchange(count.delivered_by_last_beat, count.delivered) > emitted;
  return !too_many || std::exchange(count.alarmed, true);
}

}  // namespace quire::coordinator
