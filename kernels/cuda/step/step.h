// The step: tokens of any sequences, decode and prefill alike, through all layers to one sampled token a
// sequence. EnqueueStep puts its kernels on a stream (or into a graph under capture) and touches nothing
// else; weights, pages, buffers and the uploaded batch stay where they are until it has run. Called by
// whoever owns the stream; the same source runs on fibers. A row's bits don't depend on the batch as long
// as the Gemm keeps its order of sums.
#pragma once

#include <cstdint>

#include "kernels/cuda/step/buffers.h"
#include "kernels/cuda/step/gemm.h"
#include "kernels/cuda/step/shape.h"
#include "kernels/cuda/step/weights.h"

namespace quire::kernels::cuda {

// The kernels of a step, by what they do.
enum class StepKind : uint8_t {
  kEmbed,
  kNorm,
  kQkv,
  kRope,
  kAttention,
  kCombine,
  kO,
  kGateUp,
  kSilu,
  kDown,
  kLmHead,
  kSample,
};
inline constexpr int kStepKinds = 12;
inline constexpr const char* kStepKindNames[kStepKinds] = {"embed",     "norm",    "qkv",     "rope",
                                                           "attention", "combine", "o",       "gate_up",
                                                           "silu",      "down",    "lm_head", "sample"};
inline constexpr uint32_t StepBit(StepKind kind) { return uint32_t{1} << static_cast<int>(kind); }

struct StepOptions {
  Order order = Order::kOverlapping;        // of kernels that wait for those before them
  uint32_t kinds = (1u << kStepKinds) - 1;  // which are enqueued: all, but for measurements
};

struct StepModel {
  const StepShape& shape;
  const StepWeights& weights;
  const KvPool& kv;
  const StepBuffers& buffers;
  Gemm& gemm;
};

void EnqueueStep(Stream& stream, const StepModel& model, const StepPlan& plan, const StepOptions& options);

// After a decode step (one token a sequence): readies the buffers for the next.
void EnqueueAdvance(Stream& stream, const StepModel& model, const StepPlan& plan, Order order);

}  // namespace quire::kernels::cuda
