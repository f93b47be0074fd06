// How often something may happen by name (of a key, of an account): a burst at once, then one every so often.
// Owned by whoever limits something; any thread, `now_us` is the owner's Clock::NowUs(). Always: the memory
// is one small record per name, so names must be of a bounded set, never a stranger's word.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/core/mutex.h"

namespace quire {

struct BudgetLimits {
  int64_t burst = 1;
  int64_t every_us = 1'000'000;
};

class Budgets {
 public:
  explicit Budgets(BudgetLimits limits) : limits_(limits) {}

  bool Spent(const std::string& name, int64_t now_us) const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    const auto found = budgets_.find(name);
    return found != budgets_.end() && IsSpent(found->second, now_us);
  }

  // Also what is beyond the budget: it is paid back later.
  void Spend(const std::string& name, int64_t now_us) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    Pay(budgets_[name], now_us);
  }

  // Spends if something is left, and says how often nothing was since the last time. nullopt: nothing is.
  std::optional<uint64_t> Take(const std::string& name, int64_t now_us) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    Budget& budget = budgets_[name];
    if (IsSpent(budget, now_us)) {
      ++budget.refused;
      return std::nullopt;
    }
    Pay(budget, now_us);
    return std::exchange(budget.refused, 0);
  }

 private:
  struct Budget {
    int64_t repaid_us = INT64_MIN;  // when all that was spent will have come back
    uint64_t refused = 0;
  };
  void Pay(Budget& budget, int64_t now_us) const {
    budget.repaid_us = std::max(budget.repaid_us, now_us) + limits_.every_us;
  }
  bool IsSpent(const Budget& budget, int64_t now_us) const {
    return budget.repaid_us > now_us + (limits_.burst - 1) * limits_.every_us;
  }

  const BudgetLimits limits_;
  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, Budget> budgets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire
