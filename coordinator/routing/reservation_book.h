// The one count of KV in use: every open request's group and blocks (prompt + grant), summed per group epoch.
// Soft state over the ledger: Progress keeps a reservation alive, one that is not heard of for kSilenceUs
// stops counting (its gateway is gone, and with it the stream that held the blocks) and counts again when it
// is. Pure, now injected; owned by Router and called under its mutex.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "base/core/ids.h"

namespace quire::coordinator {

struct GroupEpoch {
  std::string id;
  uint64_t epoch = 0;
  auto operator<=>(const GroupEpoch&) const = default;
};

struct Reservation {
  GroupEpoch group;  // id empty: not placed yet
  uint64_t prompt_tokens = 0;
  uint64_t granted = 0;
  uint64_t expected_cached_blocks = 0;  // at placement, for PrefixMemory
  bool in_ledger = false;               // durably open there: only its closing there ends the reservation
};

struct GroupUse {
  uint64_t blocks = 0;
  uint64_t requests = 0;
};

class ReservationBook {
 public:
  static constexpr int64_t kSilenceUs = 10'000'000;

  // Opens or changes a reservation; the request was heard of now.
  void Put(const RequestId& id, Reservation reservation, int64_t now_us);
  // A sign of life, on that group if its id is not empty. Nothing happens where there is no such reservation.
  void Refresh(const RequestId& id, const GroupEpoch& group, int64_t now_us);
  // The ledger has it open. A reservation that nobody made here (a coordinator was restarted) has no group
  // yet.
  void Confirm(const RequestId& id, uint64_t prompt_tokens, uint64_t granted, int64_t now_us);
  std::optional<Reservation> Remove(const RequestId& id);
  const Reservation* Find(const RequestId& id) const;

  // Stops counting the silent ones.
  void Sweep(int64_t now_us);
  GroupUse UseOf(const GroupEpoch& group) const;
  // Less what `id` itself takes there.
  GroupUse UseOfOthers(const GroupEpoch& group, const RequestId& id) const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Reservation reservation;
    int64_t heard_us = 0;
    bool counted = false;
  };
  void SetCounted(Entry& entry, bool counted);
  static uint64_t BlocksOf(const Reservation& reservation);

  absl::flat_hash_map<RequestId, Entry> entries_;
  std::map<GroupEpoch, GroupUse> uses_;
};

}  // namespace quire::coordinator
