// A ModelRunner for a group of ranks: rank 0's engine calls DistributedRunner, which sends each plan to the
// followers and runs its own shard; the followers sit in RunFollower and do the same steps. It runs ahead
// where its shard's runner does, which all ranks' do then or none: a follower then launches a plan before it
// collects the one before, and is told when no plan comes, so that it collects the last one. Else followers
// get the ids that the last step sampled with the plan, and Launch comes after the last Collect. Any error of
// any rank loses the group, and so does a step that takes longer than any of its kind may (step_deadline.h).
#pragma once

#include <deque>

#include "worker/engine/model_runner.h"
#include "worker/parallel/plan_channel.h"
#include "worker/parallel/step_deadline.h"

namespace quire::worker {

// The steps of one rank, each with its limit from when it was launched and the one before had ended. Until
// then a rank's word of what it does names the one before, while it waits with the next plan, too. Engine
// thread.
class TimedSteps {
 public:
  TimedSteps(Liveness& liveness, const StepDeadlineOptions& options)
      : liveness_(liveness), deadline_(options) {}
  void Begin(const BatchPlan& plan);
  void End();  // of the oldest

 private:
  struct Launched {
    uint64_t step = 0;
    StepShape shape;
  };
  void Start();  // the oldest

  Liveness& liveness_;
  StepDeadline deadline_;
  std::deque<Launched> launched_;
  int64_t started_us_ = 0, limit_us_ = 0;
};

class DistributedRunner final : public ModelRunner {
 public:
  // Both outlive the runner.
  DistributedRunner(RankGroup& group, ModelRunner& local, const StepDeadlineOptions& limits = {})
      : liveness_(*group.liveness), local_(local), channel_(group), steps_(liveness_, limits) {}
  bool runs_ahead() const override { return local_.runs_ahead(); }
  absl::Status Launch(const BatchPlan& plan) override;
  absl::StatusOr<StepResult> Collect() override;
  // Lets the followers return from RunFollower, and waits until they do; no Launch after it.
  absl::Status StopFollowers() { return channel_.SendStop(); }

 private:
  absl::Status TellFollowers(const BatchPlan& plan);

  Liveness& liveness_;
  ModelRunner& local_;
  PlanChannel channel_;
  TimedSteps steps_;
  int in_flight_ = 0;
  // Where it does not run ahead: by the last step, and ids of this one where it begins with some.
  std::vector<TokenId> sampled_, resolved_;
};

// The steps of a follower.
class FollowerSteps {
 public:
  // Both outlive it.
  FollowerSteps(Liveness& liveness, ModelRunner& local, const StepDeadlineOptions& limits);
  // And collects the one before, or this one where the runner does not run ahead.
  absl::Status Launch(BatchPlan plan);
  absl::Status CollectAll();

 private:
  absl::Status Collect(size_t left);  // all but so many

  Liveness& liveness_;
  ModelRunner& local_;
  TimedSteps steps_;
  std::deque<BatchPlan> in_flight_;
};

// A follower's whole life: returns OK after a stop, else why the group was lost.
absl::Status RunFollower(RankGroup& group, ModelRunner& local, const StepDeadlineOptions& limits = {});

}  // namespace quire::worker
