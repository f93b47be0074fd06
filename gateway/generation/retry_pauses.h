// When what failed may be tried again: a pause per name that doubles from failure to failure, up to a limit;
// or never. Owned by ModelCatalog, under its mutex; time is passed in. Always: a name that has not failed is
// due at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

namespace quire::gateway {

class RetryPauses {
 public:
  static constexpr int64_t kFirstMs = 1000, kMostMs = 300'000;
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // Returns the pause until the next attempt.
  int64_t Failed(const std::string& name, int64_t now_ms) {
    Entry& entry = entries_[name];
    entry.pause_ms = std::min(entry.pause_ms * 2, kMostMs);
    entry.due_ms = now_ms + entry.pause_ms;
    return entry.pause_ms;
  }
  // It is being tried: if it ever failed, it is not due before it fails again.
  void Trying(const std::string& name) {
    const auto found = entries_.find(name);
    if (found != entries_.end()) found->second.due_ms = kNever;
  }
  // It will never be due: the same would fail in the same way.
  void FailedForGood(const std::string& name) { entries_[name].due_ms = kNever; }
  void Forget(const std::string& name) { entries_.erase(name); }
  void KeepOnly(const absl::flat_hash_set<std::string>& names) {
    absl::erase_if(entries_, [&](const auto& entry) { return !names.contains(entry.first); });
  }

  bool Has(const std::string& name) const { return entries_.contains(name); }
  bool Due(const std::string& name, int64_t now_ms) const {
    const auto found = entries_.find(name);
    return found == entries_.end() || found->second.due_ms <= now_ms;
  }
  // When the first of them is due; kNever: none is to be tried again.
  int64_t NextMs() const {
    int64_t next = kNever;
    for (const auto& [name, entry] : entries_) next = std::min(next, entry.due_ms);
    return next;
  }

 private:
  struct Entry {
    int64_t pause_ms = kFirstMs / 2;
    int64_t due_ms = 0;
  };
  absl::flat_hash_map<std::string, Entry> entries_;
};

}  // namespace quire::gateway
