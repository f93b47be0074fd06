// A step's device memory: the batch's arrays, activations, and the KV cache's pages. Made once, at the size
// of the largest step; one step at a time uses them. Names say what an element is.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/sampling/sample_rows.h"
#include "kernels/cuda/step/batch.h"
#include "kernels/cuda/step/device_array.h"
#include "kernels/cuda/step/shape.h"

namespace quire::kernels::cuda {

struct StepLimits {
  int tokens, sequences;  // of a step
  int table_entries;      // block tables of all its sequences, each filled up to a multiple of 4
  int64_t partial_rows;   // of attention: splits * tokens * query heads where splits are folded later
  int attention_items;    // of each height
};

struct StepBuffers {
  StepBuffers(Stream& stream, const StepShape& shape, const StepLimits& limits);

  // The batch.
  DeviceArray<int32_t> ids, positions, slots;  // [tokens]
  DeviceArray<int32_t> last_rows;              // [sequences]
  DeviceArray<SampleRule> rules;               // [sequences]
  DeviceArray<AttentionSequence> sequences;    // [sequences]
  DeviceArray<int32_t> tables;                 // [table_entries]
  DeviceArray<AttentionItem> narrow, wide;     // [attention_items]
  DeviceArray<CombineToken> combine;           // [tokens]
  // Activations.
  DeviceArray<float> x_f32;                // [tokens, hidden]: the residual stream
  DeviceArray<uint16_t> normed_bf16;       // [tokens, hidden]
  DeviceArray<float> qkv_f32;              // [tokens, QkvWidth]
  DeviceArray<uint16_t> q_bf16;            // [tokens, QWidth]
  DeviceArray<uint16_t> attention_bf16;    // [tokens, QWidth]
  DeviceArray<float> delta_f32;            // [tokens, hidden]: of o, then of down
  DeviceArray<uint16_t> gate_up_bf16;      // [tokens, 2 ffn]
  DeviceArray<uint16_t> activated_bf16;    // [tokens, ffn]
  DeviceArray<uint16_t> last_normed_bf16;  // [sequences, hidden]
  DeviceArray<float> logits_f32;           // [sequences, LogitsStride]
  DeviceArray<float> sample_weights_f32;   // the same
  DeviceArray<int> sampled_ids;            // [sequences]; -1: nothing to choose from
  DeviceArray<float> partial_out_f32;      // [partial_rows, head_dim]
  DeviceArray<float> partial_state_f32;    // [partial_rows, 2]
};

// The KV cache: blocks of 16 positions in each layer (kv_pages.h).
struct KvPool {
  KvPool(Stream& stream, const StepShape& shape, int pages);
  int pages;
  std::vector<DeviceArray<uint16_t>> layers_bf16;
};

// A batch's counts, when its arrays stand in the buffers.
struct StepPlan {
  int tokens = 0, sequences = 0;
  int narrow = 0, wide = 0, combine = 0;
};

// Waits for the copies. What is too large for the buffers is an error of the stream, and no step follows.
StepPlan UploadBatch(Stream& stream, const StepBatch& batch, const StepBuffers& buffers);

}  // namespace quire::kernels::cuda
