// The one waiting room: requests that fit no group now. First in first out per model (so that a large request
// is not overtaken for ever), bounded as a whole and per account, each with its own deadline. It also
// measures how fast it drains, from which a refusal's Retry-After is computed. Pure, now injected; owned by
// api/Admission and called under its mutex.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/core/ids.h"

namespace quire::coordinator {

class WaitQueue {
 public:
  struct Limits {
    size_t max_waiting = 1024;
    size_t max_per_account = 512;
  };
  struct Waiting {
    RequestId id;
    std::string account, model;
    int64_t since_us = 0, deadline_us = 0;
  };
  enum class Verdict { kQueued, kFull, kAccountFull };

  explicit WaitQueue(const Limits& limits) : limits_(limits) {}

  Verdict Push(Waiting waiting);
  // Ahead of the others, whatever the bounds: its request is already running (Readmit).
  void PushFront(Waiting waiting);
  bool Remove(const RequestId& id);

  // Offers the waiting in order; try_place(waiting) true: placed, so it leaves. After a false, others of the
  // same model are not asked.
  template <typename TryPlace>
  void Serve(int64_t now_us, TryPlace&& try_place) {
    absl::flat_hash_set<std::string> blocked;
    for (auto it = order_.begin(); it != order_.end();) {
      const auto current = it++;
      if (blocked.contains(current->model)) continue;
      if (try_place(*current)) {
        NoteServed(now_us);
        Erase(current);
      } else {
        blocked.insert(current->model);
      }
    }
  }

  // Takes out those whose deadline has come.
  std::vector<Waiting> TakeExpired(int64_t now_us);
  std::optional<int64_t> NextDeadlineUs() const;

  // Whole seconds until a place is likely: the queue's length over its drain rate, 1..60.
  uint32_t RetryAfterSeconds() const;
  // False: a newcomer of that model has nobody to wait behind.
  bool HasWaiting(const std::string& model) const;
  size_t size() const { return order_.size(); }
  int64_t OldestAgeUs(int64_t now_us) const { return order_.empty() ? 0 : now_us - order_.front().since_us; }

 private:
  using Order = std::list<Waiting>;
  void Insert(Order::iterator before, Waiting waiting);
  void Erase(Order::iterator it);
  void NoteServed(int64_t now_us);

  const Limits limits_;
  Order order_;
  absl::flat_hash_map<RequestId, Order::iterator> by_id_;
  absl::flat_hash_map<std::string, size_t> per_account_, per_model_;
  int64_t last_served_us_ = 0;
  double served_interval_s_ = 0;  // moving average; 0 = nothing served yet
};

}  // namespace quire::coordinator
