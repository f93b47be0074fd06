#include "coordinator/routing/reservation_book.h"

#include "base/core/hash.h"

namespace quire::coordinator {

void ReservationBook::Put(const RequestId& id, Reservation reservation, int64_t now_us) {
  Entry& entry = entries_[id];
  SetCounted(entry, false);
  entry.reservation = std::move(reservation);
  entry.heard_us = now_us;
  SetCounted(entry, true);
}

void ReservationBook::Refresh(const RequestId& id, const GroupEpoch& group, int64_t now_us) {
  const Reservation* known = Find(id);
  if (known == nullptr) return;
  Reservation heard = *known;
  if (!group.id.empty()) heard.group = group;
  Put(id, std::move(heard), now_us);
}

void ReservationBook::Confirm(const RequestId& id, uint64_t prompt_tokens, uint64_t granted, int64_t now_us) {
  const Reservation* known = Find(id);
  Reservation reservation = known != nullptr ? *known : Reservation{{}, prompt_tokens, granted, 0, false};
  reservation.granted = granted;
  reservation.in_ledger = true;
  Put(id, std::move(reservation), now_us);
}

std::optional<Reservation> ReservationBook::Remove(const RequestId& id) {
  auto it = entries_.find(id);
  if (it == entries_.end()) return std::nullopt;
  SetCounted(it->second, false);
  std::optional<Reservation> removed(std::move(it->second.reservation));
  entries_.erase(it);
  return removed;
}

const Reservation* ReservationBook::Find(const RequestId& id) const {
  auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : &it->second.reservation;
}

void ReservationBook::Sweep(int64_t now_us) {
  for (auto& [id, entry] : entries_) {
    if (now_us - entry.heard_us > kSilenceUs) SetCounted(entry, false);
  }
}

GroupUse ReservationBook::UseOf(const GroupEpoch& group) const {
  auto it = uses_.find(group);
  return it == uses_.end() ? GroupUse{} : it->second;
}

GroupUse ReservationBook::UseOfOthers(const GroupEpoch& group, const RequestId& id) const {
  GroupUse use = UseOf(group);
  auto it = entries_.find(id);
  if (it == entries_.end() || !it->second.counted || it->second.reservation.group != group) return use;
  use.blocks -= BlocksOf(it->second.reservation);
  --use.requests;
  return use;
}

uint64_t ReservationBook::BlocksOf(const Reservation& reservation) {
  return BlocksFor(reservation.prompt_tokens + reservation.granted);
}

void ReservationBook::SetCounted(Entry& entry, bool counted) {
  if (entry.counted == counted) return;
  entry.counted = counted;
  if (entry.reservation.group.id.empty()) return;
  const uint64_t blocks = BlocksOf(entry.reservation);
  GroupUse& use = uses_[entry.reservation.group];
  if (counted) {
    use.blocks += blocks;
    ++use.requests;
  } else {
    use.blocks -= blocks;
    if (--use.requests == 0) uses_.erase(entry.reservation.group);
  }
}

}  // namespace quire::coordinator
