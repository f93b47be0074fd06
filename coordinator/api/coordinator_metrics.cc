#include "coordinator/api/coordinator_metrics.h"

namespace quire::coordinator {

void CoordinatorMetrics::Total::RaiseTo(uint64_t total) {
  if (total <= shown_) return;
  counter_.Increment(static_cast<double>(total - shown_));
  shown_ = total;
}

void CoordinatorMetrics::PerGroup::Show(const std::map<std::string, uint64_t>& values) {
  std::erase_if(shown_, [&](const std::string& group) {
    const bool gone = !values.contains(group);
    if (gone) metrics_.RemoveGauge(name_, {{"group", group}});
    return gone;
  });
  for (const auto& [group, value] : values) {
    metrics_.Gauge(name_, help_, {{"group", group}}).Set(static_cast<double>(value));
    shown_.insert(group);
  }
}

CoordinatorMetrics::CoordinatorMetrics(Metrics& metrics)
    : metrics_(metrics),
      open_requests_(metrics.Gauge("quire_coordinator_open_requests", "Requests with a reservation.")),
      queue_length_(metrics.Gauge("quire_coordinator_queue_length", "Requests that wait for a group.")),
      queue_age_s_(
          metrics.Gauge("quire_coordinator_queue_oldest_seconds", "How long the first of them has waited.")),
      drift_alarms_(metrics.Counter("quire_coordinator_kv_drift_alarms_total",
                                    "A group used far more KV than was reserved for it.")),
      conservation_alarms_(
          metrics.Counter("quire_coordinator_conservation_alarms_total",
                          "A group's requests were settled with more tokens than it had emitted.")),
      commits_(metrics.Counter("quire_coordinator_ledger_commits_total", "Transactions of the ledger.")),
      failed_commits_(metrics.Counter("quire_coordinator_ledger_failed_commits_total", "Those that failed.")),
      posted_nano_usd_(metrics.Counter("quire_coordinator_posted_nano_usd_total",
                                       "Posted for delivered tokens since the start.")),
      posted_tokens_(metrics.Counter("quire_coordinator_posted_tokens_total",
                                     "Delivered tokens posted since the start.")),
      credits_(metrics.Counter("quire_coordinator_credits_total", "Credits posted since the start.")),
      reversals_(metrics.Counter("quire_coordinator_reversals_total", "Entries taken back since the start.")),
      reaped_(metrics.Counter("quire_coordinator_reaped_requests_total",
                              "Closed for a gateway that fell silent.")),
      unbilled_(metrics.Counter("quire_coordinator_unbilled_tokens_total",
                                "Delivered, but said after the request was closed: the operator's loss.")),
      above_grant_(metrics.Counter("quire_coordinator_above_grant_alarms_total",
                                   "A gateway reported more than it was granted.")),
      set_aside_(metrics.Counter("quire_coordinator_set_aside_requests_total",
                                 "The ledger's store refuses to change them: a bug or a tampered file.")),
      blocks_reserved_(metrics, "quire_coordinator_kv_blocks_reserved", "KV blocks of open requests."),
      blocks_total_(metrics, "quire_coordinator_kv_blocks_total", "KV blocks of the group."),
      blocks_free_(metrics, "quire_coordinator_kv_blocks_free", "KV blocks that the group says are free."),
      epoch_(metrics, "quire_coordinator_group_epoch", "Incarnation of the group."),
      restarts_(metrics, "quire_coordinator_group_restarts", "Restarts of the local group.") {}

void CoordinatorMetrics::Update(const RouterReport& report) {
  open_requests_.Set(static_cast<double>(report.open_requests));
  queue_length_.Set(static_cast<double>(report.waiting));
  queue_age_s_.Set(static_cast<double>(report.oldest_wait_us) / 1e6);
  drift_alarms_.RaiseTo(report.drift_alarms);
  conservation_alarms_.RaiseTo(report.conservation_alarms);
  std::map<GroupState, int> by_state{{GroupState::kServing, 0},
                                     {GroupState::kDraining, 0},
                                     {GroupState::kUnhealthy, 0},
                                     {GroupState::kSilent, 0},
                                     {GroupState::kGone, 0}};
  std::map<std::string, uint64_t> reserved, total, free, epoch;
  for (const GroupReport& group : report.groups) {
    ++by_state[group.state];
    const std::string& id = group.group.info.group_id();
    reserved[id] = group.reserved.blocks;
    total[id] = group.capacity_blocks;
    free[id] = group.group.beat.kv_blocks_free();
    epoch[id] = group.group.info.epoch();
  }
  blocks_reserved_.Show(reserved);
  blocks_total_.Show(total);
  blocks_free_.Show(free);
  epoch_.Show(epoch);
  for (const auto& [state, count] : by_state) {
    metrics_
        .Gauge("quire_coordinator_groups", "Registered groups by state.", {{"state", GroupStateName(state)}})
        .Set(count);
  }
}

void CoordinatorMetrics::Update(const LedgerCounters& counters) {
  commits_.RaiseTo(counters.commits);
  failed_commits_.RaiseTo(counters.failed_commits);
  posted_nano_usd_.RaiseTo(counters.posted_nano_usd);
  posted_tokens_.RaiseTo(counters.posted_positions);
  credits_.RaiseTo(counters.credits);
  reversals_.RaiseTo(counters.reversals);
  reaped_.RaiseTo(counters.reaped);
  unbilled_.RaiseTo(counters.unbilled_positions);
  above_grant_.RaiseTo(counters.above_grant_alarms);
  set_aside_.RaiseTo(counters.set_aside);
}

void CoordinatorMetrics::Update(const std::vector<DrivenGroup>& driven) {
  std::map<std::string, uint64_t> restarts;
  for (const DrivenGroup& group : driven) restarts[group.id] = group.restarts;
  restarts_.Show(restarts);
}

}  // namespace quire::coordinator
