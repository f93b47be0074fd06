// The coordinator's figures for /metrics that are states rather than events: taken from the reports of
// router, ledger and driver when somebody asks. Owned by AdminService, used under its mutex.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/core/metrics.h"
#include "coordinator/fleet/fleet_driver.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/routing/router.h"

namespace quire::coordinator {

class CoordinatorMetrics {
 public:
  explicit CoordinatorMetrics(Metrics& metrics);

  void Update(const RouterReport& report);
  void Update(const LedgerCounters& counters);
  void Update(const std::vector<DrivenGroup>& driven);

 private:
  // A total that is counted elsewhere, and how much of it the counter has had from here.
  class Total {
   public:
    explicit Total(prometheus::Counter& counter) : counter_(counter) {}
    void RaiseTo(uint64_t total);

   private:
    prometheus::Counter& counter_;
    uint64_t shown_ = 0;
  };

  // A gauge per group: of those that there are, and of no other.
  class PerGroup {
   public:
    PerGroup(Metrics& metrics, std::string name, std::string help)
        : metrics_(metrics), name_(std::move(name)), help_(std::move(help)) {}
    void Show(const std::map<std::string, uint64_t>& values);

   private:
    Metrics& metrics_;
    const std::string name_, help_;
    std::set<std::string> shown_;
  };

  Metrics& metrics_;
  prometheus::Gauge &open_requests_, &queue_length_, &queue_age_s_;
  Total drift_alarms_, conservation_alarms_, commits_, failed_commits_, posted_nano_usd_, posted_tokens_,
      credits_, reversals_, reaped_, unbilled_, above_grant_, set_aside_;
  PerGroup blocks_reserved_, blocks_total_, blocks_free_, epoch_, restarts_;
};

}  // namespace quire::coordinator
