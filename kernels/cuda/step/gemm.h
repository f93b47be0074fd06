// y[m, n] = x[m, k] * weights[n, k]^T as a step asks for it, for any m. Who computes it may change with m
// and with what the machine has; the order of a sum is a matter of `leaves` (skinny_gemm.h). One thread.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

struct StepGemm {
  const uint16_t* weights;  // bf16 [n, k]
  const uint16_t* x;        // bf16 [m, k]
  void* y;                  // rows y_stride apart; float, or bf16 where y_is_bf16
  bool y_is_bf16;
  int m, n, k;
  int64_t y_stride;
  int leaves;                   // 1, or kSkinnyLeaves / ranks
  const float* bias = nullptr;  // [n], where there is one; added to the whole sum
};

class Gemm {
 public:
  virtual ~Gemm() = default;
  // Before the first step: room for sums that are cut into leaves, of up to so many columns.
  virtual void Reserve(Stream&, int /*tree_columns*/) {}
  // Before the first step, too: what Run will be asked for, where it has to choose how. Their y is written.
  virtual void Choose(Stream&, std::span<const StepGemm>) {}
  virtual void Run(Stream& stream, const StepGemm& gemm, Order order) = 0;
};

// The decode GEMM alone, 32 rows at a time: everywhere, and the same bits for every m; slow for many rows.
class SkinnyGemms final : public Gemm {
 public:
  explicit SkinnyGemms(const DeviceSize& device) : device_(device) {}

  void Run(Stream& stream, const StepGemm& gemm, Order order) override;

 private:
  const DeviceSize device_;
};

}  // namespace quire::kernels::cuda
