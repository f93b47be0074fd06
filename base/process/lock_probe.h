// Whether a lock file (flock) is held by somebody: how a worker sees that no coordinator has its data folder.
// The probe holds the lock for an instant, so it is for rare use. Any thread.
#pragma once

#include <string>

namespace quire {

enum class LockState {
  kFree,  // nobody holds it, or the file is gone
  kHeld,
  kUnknown,  // it can't be looked at: not the same as free
};

LockState ProbeLock(const std::string& path);

}  // namespace quire
