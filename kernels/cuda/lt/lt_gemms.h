// The step's GEMMs of more than 16 rows through cuBLASLt, the others through the decode GEMM. o and down,
// which the decode GEMM sums as leaves and a tree, are one chain here (kChain), or a product for each leaf
// and their tree with the same bits (kTree; up to 32 rows, leaves of unequal length and whatever the library
// has no chain for are the decode GEMM's, whose bits these are). One thread.
#pragma once

#include <memory>
#include <span>

#include "kernels/cuda/lt/lt_choices.h"
#include "kernels/cuda/step/device_array.h"
#include "kernels/cuda/step/gemm.h"

namespace quire::kernels::cuda {

enum class SharedSums : uint8_t { kChain, kTree };

class LtGemms final : public Gemm {
 public:
  LtGemms(std::shared_ptr<LtChoices> library, const DeviceSize& device, SharedSums shared);

  void Reserve(Stream& stream, int tree_columns) override;
  void Choose(Stream& stream, std::span<const StepGemm> gemms) override;
  void Run(Stream& stream, const StepGemm& gemm, Order order) override;

 private:
  static constexpr int kOwnRows = 16;     // that the library isn't asked for
  static constexpr int kLeafRows = 1024;  // that a tree takes at once

  // Whether it goes through the library at all.
  bool IsAsked(const StepGemm& gemm) const;
  bool IsTree(const StepGemm& gemm) const { return gemm.leaves > 1 && shared_ == SharedSums::kTree; }
  // The leaves of some of a tree's rows.
  LtProduct Leaves(const StepGemm& gemm, int first_row) const;
  // False where the library has no chain.
  bool RunTree(Stream& stream, const StepGemm& gemm);
  bool RunLt(Stream& stream, const LtProduct& product);

  const std::shared_ptr<LtChoices> library_;
  const SharedSums shared_;
  SkinnyGemms skinny_;
  DeviceArray<float> leaves_f32_;
};

}  // namespace quire::kernels::cuda
