#include "kernels/cuda/step/buffers.h"

#include "kernels/cuda/kv_pages.h"

namespace quire::kernels::cuda {
namespace {

size_t Of(int64_t rows, int64_t width) { return static_cast<size_t>(rows * width); }

}  // namespace

StepBuffers::StepBuffers(Stream& s, const StepShape& shape, const StepLimits& l)
    : ids(s, Of(l.tokens, 1)),
      positions(s, Of(l.tokens, 1)),
      slots(s, Of(l.tokens, 1)),
      last_rows(s, Of(l.sequences, 1)),
      rules(s, Of(l.sequences, 1)),
      sequences(s, Of(l.sequences, 1)),
      tables(s, Of(l.table_entries, 1)),
      narrow(s, Of(l.attention_items, 1)),
      wide(s, Of(l.attention_items, 1)),
      combine(s, Of(l.tokens, 1)),
      x_f32(s, Of(l.tokens, shape.hidden)),
      normed_bf16(s, Of(l.tokens, shape.hidden)),
      qkv_f32(s, Of(l.tokens, shape.QkvWidth())),
      q_bf16(s, Of(l.tokens, shape.QWidth())),
      attention_bf16(s, Of(l.tokens, shape.QWidth())),
      delta_f32(s, Of(l.tokens, shape.hidden)),
      gate_up_bf16(s, Of(l.tokens, 2 * shape.ffn)),
      activated_bf16(s, Of(l.tokens, shape.ffn)),
      last_normed_bf16(s, Of(l.sequences, shape.hidden)),
      logits_f32(s, Of(l.sequences, shape.LogitsStride())),
      sample_weights_f32(s, Of(l.sequences, shape.LogitsStride())),
      sampled_ids(s, Of(l.sequences, 1)),
      partial_out_f32(s, Of(l.partial_rows, shape.head_dim)),
      partial_state_f32(s, Of(l.partial_rows, 2)) {}

KvPool::KvPool(Stream& stream, const StepShape& shape, int page_count) : pages(page_count) {
  const auto elements = static_cast<size_t>(PageOffset(pages, shape.kv_heads, 0, shape.head_dim));
  for (int layer = 0; layer < shape.layers; ++layer) layers_bf16.emplace_back(stream, elements);
}

StepPlan UploadBatch(Stream& stream, const StepBatch& batch, const StepBuffers& buffers) {
  if (!batch.error.empty()) {
    stream.Record(batch.error);
    return {};
  }
  const AttentionPlan& plan = batch.attention;
  const bool fits = buffers.ids.Upload(stream, batch.ids, "tokens") &&
                    buffers.positions.Upload(stream, batch.positions, "tokens") &&
                    buffers.slots.Upload(stream, batch.slots, "tokens") &&
                    buffers.last_rows.Upload(stream, batch.last_rows, "sequences") &&
                    buffers.rules.Upload(stream, batch.rules, "sequences") &&
                    buffers.sequences.Upload(stream, plan.sequences, "sequences") &&
                    buffers.tables.Upload(stream, plan.tables, "entries of block tables") &&
                    buffers.narrow.Upload(stream, plan.narrow, "blocks of attention") &&
                    buffers.wide.Upload(stream, plan.wide, "blocks of attention") &&
                    buffers.combine.Upload(stream, plan.combine, "tokens to combine");
  if (!fits) return {};
  if (plan.partial_rows * 2 > static_cast<int64_t>(buffers.partial_state_f32.size())) {
    stream.Record("a step has more partial results of attention than there is room for");
    return {};
  }
  return {static_cast<int>(batch.ids.size()), static_cast<int>(batch.last_rows.size()),
          static_cast<int>(plan.narrow.size()), static_cast<int>(plan.wide.size()),
          static_cast<int>(plan.combine.size())};
}

}  // namespace quire::kernels::cuda
