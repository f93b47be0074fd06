// Times of whole steps beside the device's line: decode in a graph with and without programmatic edges, the
// gaps between steps of a host's loop, what each kind of kernel takes, prefill whole and in chunks. Prints
// as it goes. For quire-cuda-step's one thread.
#pragma once

#include "kernels/cuda/step/testing/step_times.h"
#include "kernels/cuda/step/testing/step_world.h"

namespace quire::kernels::cuda {

class StepBench {
 public:
  StepBench(StepReport& report, const bench::Ceilings& ceilings) : report_(report), ceilings_(ceilings) {}

  // The world's sequences 0 .. batch - 1 at `context`; the plan has to hold for the steps (StepsOfPlan).
  void Decode(StepWorld& world, Gemm& gemm, const char* gemms, int batch, int context);
  // One sequence, `chunk` tokens a step.
  void Prefill(StepWorld& world, Gemm& gemm, const char* gemms, int tokens, int chunk);

 private:
  static constexpr int kSteps = 24, kAwaitedSteps = 8, kRepeats = 3;

  struct LoopTimes {
    double ms = 0, host_us = 0;  // a step from event to event; the host's time of a launch
    StepStamps::Times stamps, awaited;
  };
  LoopTimes RunLoop(StepWorld& world, const Graph& graph, const StepStamps& stamps);
  double GraphMs(StepWorld& world, Gemm& gemm, const StepPlan& plan, const StepOptions& options);
  void DecodeKinds(StepWorld& world, Gemm& gemm, const bench::JsonLine& where, const StepPlan& plan,
                   double step_ms);
  double PrefillMs(StepWorld& world, Gemm& gemm, int tokens, int chunk, uint32_t kinds);

  StepReport& report_;
  const bench::Ceilings& ceilings_;
};

}  // namespace quire::kernels::cuda
