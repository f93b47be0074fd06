#include "coordinator/api/coordinator_metrics.h"

#include <gmock/gmock.h>

namespace quire::coordinator {
namespace {

using testing::HasSubstr;

TEST(CoordinatorMetrics, ShowsEveryCounterOfTheLedger) {
  Metrics metrics;
  CoordinatorMetrics shown(metrics);
  shown.Update({.commits = 11,
                .failed_commits = 12,
                .posted_nano_usd = 13,
                .posted_positions = 14,
                .reaped = 15,
                .unbilled_positions = 16,
                .above_grant_alarms = 17,
                .set_aside = 18});
  static_assert(sizeof(LedgerCounters) == 8 * sizeof(uint64_t), "show the new one too");
  const std::string text = metrics.Text();
  for (const char* line :
       {"ledger_commits_total 11", "ledger_failed_commits_total 12", "posted_nano_usd_total 13",
        "posted_tokens_total 14", "reaped_requests_total 15", "unbilled_tokens_total 16",
        "above_grant_alarms_total 17", "set_aside_requests_total 18"}) {
    EXPECT_THAT(text, HasSubstr(std::string("\nquire_coordinator_") + line + "\n"));
  }
}

// A metric is an output: what it shows is no memory of ours, and nobody else's count is swallowed.
TEST(CoordinatorMetrics, KeepsItsTotalsItself) {
  Metrics metrics;
  CoordinatorMetrics shown(metrics);
  shown.Update(LedgerCounters{.commits = 2});
  metrics.Counter("quire_coordinator_ledger_commits_total", "").Increment(100);
  for (const uint64_t commits : {3, 3, 5}) shown.Update(LedgerCounters{.commits = commits});
  EXPECT_THAT(metrics.Text(), HasSubstr("\nquire_coordinator_ledger_commits_total 105\n"));
}

}  // namespace
}  // namespace quire::coordinator
