// What must hold of a step, whatever runs it: near the reference; the same bits in decode, prefill, chunks
// and batches; the sampled token fed back on the device is the one that a host would feed back. The same
// source is a unit test on fibers and a part of quire-cuda-step on a GPU.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/step/testing/step_world.h"

namespace quire::kernels::cuda {

struct StepCheckResult {
  std::string name;
  double relative = 0, limit = 0;  // L2
  size_t different = 0, of = 0;    // elements whose bits differ
  std::string error{};             // of the stream, or why
  bool ok() const { return error.empty() && relative <= limit; }
};
using StepCheckSink = std::function<void(const StepCheckResult&)>;

// limit 0: the bits must be equal. NaNs are never within a limit.
StepCheckResult CompareLogits(const std::string& name, const std::vector<float>& got,
                              const std::vector<float>& want, double limit);

// The whole step beside fp64; for small shapes.
void CheckReference(StepWorld& world, uint32_t seed, Gemm& gemm, const StepCheckSink& sink);
// A sequence of `tokens` decoded all along (`decode`), and prefilled at once and in chunks of `chunk`
// (`prefill`), each followed by two decode steps. `limit`: see CompareLogits.
void CheckPrefill(StepWorld& world, Gemm& decode, Gemm& prefill, int tokens, int chunk, double limit,
                  const StepCheckSink& sink);
// The least that runs every kernel: a token decoded behind a prefill is what a longer prefill gives.
void CheckBrief(StepWorld& world, Gemm& gemm, const StepCheckSink& sink);
// `count` sequences decoded together and alone.
void CheckBatch(StepWorld& world, Gemm& gemm, int count, const StepCheckSink& sink);
// Greedy and with a temperature.
void CheckFeedback(StepWorld& world, Gemm& gemm, const StepCheckSink& sink);

}  // namespace quire::kernels::cuda
