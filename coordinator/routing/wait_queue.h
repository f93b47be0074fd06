// The one waiting room: requests that fit no group now. Those that were running already (Readmit) come first,
// in turn among their accounts; the others first in first out per model (so that a large request is not
// overtaken for ever). Bounded as a whole and per account, each with its own deadline. It also measures how
// fast it drains, from which a refusal's Retry-After is computed. Pure, now injected; owned by Router and
// called under its mutex.
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
    size_t max_running = 4096;  // of those that were running, beside the others
  };
  struct Waiting {
    RequestId id;
    std::string account, model;
    int64_t since_us = 0, deadline_us = 0;
    bool running = false;
    uint64_t turn = 0;  // the queue's own: of the running, who comes when
  };
  enum class Verdict { kQueued, kFull, kAccountFull };
  enum class Offer {
    kTaken,
    kRefused,     // answered, and no place was free for it
    kNoRoom,      // whoever comes behind and wants the same model waits too
    kWaitsAlone,  // for something that nobody else waits for
  };

  explicit WaitQueue(const Limits& limits) : limits_(limits) {}

  Verdict Push(Waiting waiting);
  bool Remove(const RequestId& id);

  // Offers the waiting in order to `place(waiting)`, which returns an Offer.
  template <typename Place>
  void Serve(int64_t now_us, Place&& place) {
    absl::flat_hash_set<std::string> blocked;
    for (auto it = order_.begin(); it != order_.end();) {
      const auto current = it++;
      if (blocked.contains(current->model)) continue;
      const Offer offer = place(*current);
      if (offer == Offer::kNoRoom) blocked.insert(current->model);
      if (offer == Offer::kTaken) NoteServed(now_us);
      if (offer == Offer::kTaken || offer == Offer::kRefused) Erase(current);
    }
  }

  // Takes out those whose deadline has come.
  std::vector<Waiting> TakeExpired(int64_t now_us);
  std::optional<int64_t> NextDeadlineUs() const;

  // Whole seconds until a place is likely: the queue's length over its drain rate, 1..60.
  uint32_t RetryAfterSeconds() const;
  // False: a newcomer of that model, or one that was running, has nobody to wait behind.
  bool HasWaiting(const std::string& model, bool running) const;
  size_t size() const { return order_.size(); }
  int64_t OldestAgeUs(int64_t now_us) const;

 private:
  using Order = std::list<Waiting>;
  Verdict PushRunning(Waiting waiting);
  void Insert(Order::iterator before, Waiting waiting);
  void Erase(Order::iterator it);
  void NoteServed(int64_t now_us);

  const Limits limits_;
  Order order_;  // first the running ones by their turns, then the others as they came
  size_t running_ = 0;
  absl::flat_hash_map<RequestId, Order::iterator> by_id_;
  absl::flat_hash_map<std::string, size_t> per_account_, per_model_, running_per_model_;
  int64_t last_served_us_ = 0;
  double served_interval_s_ = 0;  // moving average; 0 = nothing served yet
};

}  // namespace quire::coordinator
