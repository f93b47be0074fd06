#include "gateway/accounting/settle_queue.h"

#include <algorithm>

namespace quire::gateway {

void SettleQueue::Add(const RequestId& id, v1::RequestSettle message, int64_t expected_nano_usd,
                      int64_t now_us) {
  if (pending_.try_emplace(id, Pending{std::move(message), expected_nano_usd, now_us}).second) {
    due_.insert({now_us, id});
  }
}

int64_t SettleQueue::NextDueUs() const {
  if (under_way_) return under_way_->lost_us;
  return due_.empty() ? INT64_MAX : std::max(not_before_us_, due_.begin()->first);
}

std::optional<SettleCall> SettleQueue::Take(int64_t now_us) {
  if (under_way_ && now_us >= under_way_->lost_us) Fail(now_us);
  if (under_way_ || now_us < NextDueUs()) return std::nullopt;
  SettleCall call;
  call.number = ++numbers_;
  under_way_ = UnderWay{.number = call.number, .lost_us = now_us + options_.lost_after_us, .ids = {}};
  while (!due_.empty() && due_.begin()->first <= now_us && under_way_->ids.size() < options_.per_message) {
    const RequestId id = due_.begin()->second;
    *call.request.add_requests() = pending_.at(id).message;
    under_way_->ids.push_back(id);
    due_.erase(due_.begin());
  }
  return call;
}

SettleQueue::Acknowledged SettleQueue::OnReply(const SettleCall& call, const v1::SettleReply& reply,
                                               int64_t now_us) {
  Acknowledged acknowledged;
  for (const v1::SettleResult& result : reply.results()) {
    const auto id = RequestId::FromBytes(result.request_id());
    const auto found = id.ok() ? pending_.find(*id) : pending_.end();
    if (found == pending_.end()) continue;
    ++acknowledged.settled;
    if (result.amount_nano_usd() != found->second.expected_nano_usd) ++acknowledged.mismatches;
    due_.erase({found->second.due_us, *id});
    pending_.erase(found);
  }
  if (!IsUnderWay(call)) return acknowledged;  // it had been given up
  for (const RequestId& id : under_way_->ids) Reschedule(id, now_us + options_.resend_us);
  under_way_.reset();
  failures_in_a_row_ = 0;
  not_before_us_ = INT64_MIN;
  return acknowledged;
}

void SettleQueue::OnFailed(const SettleCall& call, int64_t now_us) {
  if (IsUnderWay(call)) Fail(now_us);
}

void SettleQueue::Fail(int64_t now_us) {
  for (const RequestId& id : under_way_->ids) {  // as due as it was
    if (const auto found = pending_.find(id); found != pending_.end())
      due_.insert({found->second.due_us, id});
  }
  under_way_.reset();
  const int doublings = std::min(failures_in_a_row_++, 20);
  not_before_us_ = now_us + std::min(options_.resend_us << doublings, options_.max_resend_us);
}

// If it is still to be acknowledged.
void SettleQueue::Reschedule(const RequestId& id, int64_t due_us) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  due_.erase({found->second.due_us, id});
  found->second.due_us = due_us;
  due_.insert({due_us, id});
}

}  // namespace quire::gateway
