#include "coordinator/api/coordinator_metrics.h"

#include <map>

namespace quire::coordinator {
void CoordinatorMetrics::Total::RaiseTo(uint64_t total) {
  if (total <= shown_) return;
  counter_.Increment(static_cast<double>(total - shown_));
  shown_ = total;
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
      posted_nano_usd_(metrics.Counter("quire_coordinator_posted_nano_usd_total", "Posted since the start.")),
      posted_tokens_(metrics.Counter("quire_coordinator_posted_tokens_total",
                                     "Delivered tokens posted since the start.")),
      reaped_(metrics.Counter("quire_coordinator_reaped_requests_total",
                              "Closed for a gateway that fell silent.")),
      unbilled_(metrics.Counter("quire_coordinator_unbilled_tokens_total",
                                "Delivered, but said after the request was closed: the operator's loss.")),
      above_grant_(metrics.Counter("quire_coordinator_above_grant_alarms_total",
                                   "A gateway reported more than it was granted.")),
      set_aside_(metrics.Counter("quire_coordinator_set_aside_requests_total",
                                 "The ledger's store refuses to change them: a bug or a tampered file.")) {}

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
  for (const GroupReport& group : report.groups) {
    ++by_state[group.state];
    const Metrics::Labels labels{{"group", group.group.info.group_id()}};
    auto gauge = [&](const std::string& name, const std::string& help, uint64_t value) {
      metrics_.Gauge(name, help, labels).Set(static_cast<double>(value));
    };
    gauge("quire_coordinator_kv_blocks_reserved", "KV blocks of open requests.", group.reserved.blocks);
    gauge("quire_coordinator_kv_blocks_total", "KV blocks of the group.", group.capacity_blocks);
    gauge("quire_coordinator_kv_blocks_free", "KV blocks that the group says are free.",
          group.group.beat.kv_blocks_free());
    gauge("quire_coordinator_group_epoch", "Incarnation of the group.", group.group.info.epoch());
  }
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
  reaped_.RaiseTo(counters.reaped);
  unbilled_.RaiseTo(counters.unbilled_positions);
  above_grant_.RaiseTo(counters.above_grant_alarms);
  set_aside_.RaiseTo(counters.set_aside);
}

void CoordinatorMetrics::Update(const std::vector<DrivenGroup>& driven) {
  for (const DrivenGroup& group : driven) {
    metrics_.Gauge("quire_coordinator_group_restarts", "Restarts of the local group.", {{"group", group.id}})
        .Set(static_cast<double>(group.restarts));
  }
}

}  // namespace quire::coordinator
