#include "coordinator/fleet/fleet_driver.h"

namespace quire::coordinator {

const char* GroupPhaseName(GroupPhase phase) {
  switch (phase) {
    case GroupPhase::kRunning:
      return "running";
    case GroupPhase::kDying:
      return "dying";
    case GroupPhase::kBackoff:
      return "backoff";
    case GroupPhase::kStopping:
      return "stopping";
    case GroupPhase::kStopped:
      return "stopped";
  }
  return "unknown";
}

}  // namespace quire::coordinator
