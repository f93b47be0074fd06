// What quire-cuda-step does with each shape: weights, worlds of the sizes that fit, checks and benches in
// their order. One thread.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "kernels/cuda/lt/lt_gemms.h"
#include "kernels/cuda/step/testing/step_bench.h"
#include "kernels/cuda/step/testing/step_checks.h"

namespace quire::kernels::cuda {

class StepRun {
 public:
  // lt: may be null.
  StepRun(StepReport& report, cudaStream_t handle, std::shared_ptr<LtChoices> lt);

  // False where a check failed or something could not be had.
  // parts: check, decode, prefill; brief (of the tiny one).
  bool Tiny(const std::set<std::string>& parts);
  bool Large(const std::set<std::string>& parts);

 private:
  bool Good(const std::string& error, const char* where);
  void Tell(const StepCheckResult& result);
  std::unique_ptr<LtGemms> Lt(SharedSums shared);
  void CheckGraph(StepWorld& world, Gemm& gemm, int batch, int context);
  void TinyChecks(StepWorld& world, Gemm& skinny);
  void CheckLt(StepWorld& world, const StepShape& shape, int tokens, double chain_limit);
  void CheckLongPrefill(StepWorld& world, Gemm& gemm, int tokens);
  void MeasureLines(const StepShape& shape);
  void ShortContexts(const GeneratedModel& model, const std::set<std::string>& parts);
  void LongContexts(const GeneratedModel& model);
  void Prefills(const GeneratedModel& model);
  size_t FreeBytes();

  StepReport& report_;
  Stream stream_;
  const std::shared_ptr<LtChoices> lt_;
  DeviceSize device_;
  bench::Ceilings ceilings_;
  bool ok_ = true;
};

}  // namespace quire::kernels::cuda
