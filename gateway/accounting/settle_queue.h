// The settles that are not acknowledged yet, in the order in which they are due, and how they are sent: in
// messages of bounded size, one message at a time, and after a failure later and later. Owned by Accountant,
// called under its mutex; no I/O, no clock. Always: what was added stays until a reply names it; adding,
// taking and answering cost a logarithm, however many wait.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/core/ids.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {

struct SettleOptions {
  size_t per_message = 1000;
  int64_t resend_us = 1'000'000;      // after a failure; doubled with each further one in a row, up to
  int64_t max_resend_us = 5'000'000;  // this
  // Whoever sends says how a message ended. Should it never do so, the message counts as lost after this.
  int64_t lost_after_us = 15'000'000;
};

struct SettleCall {
  uint64_t number = 0;
  v1::SettleRequest request;
};

class SettleQueue {
 public:
  explicit SettleQueue(SettleOptions options) : options_(options) {}

  void Add(const RequestId& id, v1::RequestSettle message, int64_t expected_nano_usd, int64_t now_us);
  bool contains(const RequestId& id) const { return pending_.contains(id); }
  size_t size() const { return pending_.size(); }

  // INT64_MAX: never.
  int64_t NextDueUs() const;
  // The next message, if one is due and none is under way.
  std::optional<SettleCall> Take(int64_t now_us);
  // For each message that Take returned one of these, at last. What the reply leaves out is said again.
  struct Acknowledged {
    uint64_t settled = 0;
    uint64_t mismatches = 0;  // posted with another amount than was expected
  };
  Acknowledged OnReply(const SettleCall& call, const v1::SettleReply& reply, int64_t now_us);
  void OnFailed(const SettleCall& call, int64_t now_us);

 private:
  struct Pending {
    v1::RequestSettle message;
    int64_t expected_nano_usd = 0;
    int64_t due_us = 0;
  };
  struct UnderWay {
    uint64_t number = 0;
    int64_t lost_us = 0;
    std::vector<RequestId> ids;
  };
  bool IsUnderWay(const SettleCall& call) const { return under_way_ && under_way_->number == call.number; }
  void Fail(int64_t now_us);
  void Reschedule(const RequestId& id, int64_t due_us);

  const SettleOptions options_;
  std::map<RequestId, Pending> pending_;
  std::set<std::pair<int64_t, RequestId>> due_;  // of the pending, those that are not under way
  std::optional<UnderWay> under_way_;
  uint64_t numbers_ = 0;
  int failures_in_a_row_ = 0;
  int64_t not_before_us_ = INT64_MIN;
};

}  // namespace quire::gateway
