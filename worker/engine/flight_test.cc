#include "worker/engine/flight.h"

#include <gmock/gmock.h>

#include "base/core/metrics.h"
#include "worker/engine/testing/plan_builder.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

class AheadOfNothing final : public ModelRunner {
 public:
  bool runs_ahead() const override { return true; }
  absl::Status Launch(const BatchPlan&) override { return absl::OkStatus(); }
  absl::StatusOr<StepResult> Collect() override { return StepResult{}; }
};

class FlightTest : public ::testing::Test {
 protected:
  void LaunchAt(int64_t us) {
    clock_.AdvanceUs(us - clock_.NowUs());
    Step step;
    step.plan = PlanBuilder().Take();
    step.plan.step = ++launched_;
    ASSERT_TRUE(flight_.Launch(std::move(step)).ok());
  }
  int64_t TookAt(int64_t us) {
    clock_.AdvanceUs(us - clock_.NowUs());
    absl::StatusOr<LandedStep> landed = flight_.Collect();
    return landed.ok() ? landed->took_us : -1;
  }
  void ExpectSum(const std::string& metric, const std::string& sum, int count) const {
    EXPECT_THAT(metrics_.Text(), HasSubstr("quire_worker_" + metric + "_sum " + sum + "\n"));
    EXPECT_THAT(metrics_.Text(),
                HasSubstr("quire_worker_" + metric + "_count " + std::to_string(count) + "\n"));
  }

  ManualClock clock_;
  Metrics metrics_;
  EngineMetrics engine_metrics_{metrics_};
  AheadOfNothing runner_;
  Flight flight_{&runner_, &clock_, &engine_metrics_};
  uint64_t launched_ = 0;
};

// Of two in flight the second runs from the first one's end on; the device waited for no host.
TEST_F(FlightTest, AStepAheadTookWhatItRan) {
  LaunchAt(0);
  LaunchAt(1'000'000);
  EXPECT_FALSE(flight_.has_room());
  EXPECT_EQ(TookAt(10'000'000), 10'000'000);
  LaunchAt(11'000'000);
  EXPECT_EQ(TookAt(18'000'000), 8'000'000);
  EXPECT_EQ(TookAt(25'000'000), 7'000'000);
  EXPECT_TRUE(flight_.empty());
  ExpectSum("step_seconds", "25", 3);
  ExpectSum("host_seconds", "0", 1);
}

// One at a time: from the tokens of the one before on, host work between them included.
TEST_F(FlightTest, AStepThatWaitedForTheHostTookThatToo) {
  LaunchAt(0);
  EXPECT_EQ(TookAt(10'000'000), 10'000'000);
  LaunchAt(13'000'000);
  EXPECT_EQ(TookAt(20'000'000), 10'000'000);
  ExpectSum("step_seconds", "17", 2);
  ExpectSum("host_seconds", "3", 1);
  flight_.Rest();
  LaunchAt(50'000'000);
  EXPECT_EQ(TookAt(60'000'000), 10'000'000);
  ExpectSum("host_seconds", "3", 1);
}

}  // namespace
}  // namespace quire::worker
