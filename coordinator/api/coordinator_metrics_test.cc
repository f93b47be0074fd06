#include "coordinator/api/coordinator_metrics.h"

#include <gmock/gmock.h>

namespace quire::coordinator {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(CoordinatorMetrics, ShowsEveryCounterOfTheLedger) {
  Metrics metrics;
  CoordinatorMetrics shown(metrics);
  shown.Update({.commits = 11,
                .failed_commits = 12,
                .posted_nano_usd = 13,
                .posted_positions = 14,
                .credits = 19,
                .reversals = 20,
                .reaped = 15,
                .unbilled_positions = 16,
                .above_grant_alarms = 17,
                .set_aside = 18});
  static_assert(sizeof(LedgerCounters) == 10 * sizeof(uint64_t), "show the new one too");
  const std::string text = metrics.Text();
  for (const char* line : {"ledger_commits_total 11", "ledger_failed_commits_total 12",
                           "posted_nano_usd_total 13", "posted_tokens_total 14", "reaped_requests_total 15",
                           "unbilled_tokens_total 16", "above_grant_alarms_total 17",
                           "set_aside_requests_total 18", "credits_total 19", "reversals_total 20"}) {
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

RouterReport ReportOf(const std::vector<std::string>& groups) {
  RouterReport report;
  for (const std::string& id : groups) report.groups.emplace_back().group.info.set_group_id(id);
  return report;
}

// Else the names of groups that come and go would fill /metrics, each for ever with its last figures.
TEST(CoordinatorMetrics, AForgottenGroupIsShownNoLonger) {
  Metrics metrics;
  CoordinatorMetrics shown(metrics);
  shown.Update(ReportOf({"old", "other"}));
  EXPECT_THAT(metrics.Text(), HasSubstr("{group=\"old\"}"));
  shown.Update(ReportOf({"new", "other"}));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("{group=\"old\"}")));
  for (const char* name : {"kv_blocks_reserved", "kv_blocks_total", "kv_blocks_free", "group_epoch"}) {
    for (const char* group : {"new", "other"}) {
      EXPECT_THAT(metrics.Text(),
                  HasSubstr(std::string("\nquire_coordinator_") + name + "{group=\"" + group + "\"} 0\n"));
    }
  }
  shown.Update(ReportOf({"old"}));
  EXPECT_THAT(metrics.Text(), HasSubstr("\nquire_coordinator_kv_blocks_free{group=\"old\"} 0\n"));
}

TEST(CoordinatorMetrics, ALocalGroupThatIsNoMoreHasNoRestarts) {
  Metrics metrics;
  CoordinatorMetrics shown(metrics);
  std::vector<DrivenGroup> driven(2);
  driven[0].id = "g0";
  driven[1].id = "g1";
  shown.Update(driven);
  driven.pop_back();
  shown.Update(driven);
  EXPECT_THAT(metrics.Text(), HasSubstr("\nquire_coordinator_group_restarts{group=\"g0\"} 0\n"));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("\"g1\"")));
}

}  // namespace
}  // namespace quire::coordinator
