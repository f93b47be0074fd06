#include "kernels/cuda/step/step.h"

#include "kernels/cuda/attention.h"
#include "kernels/cuda/gemm/skinny_gemm.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/step/advance.h"

namespace quire::kernels::cuda {
namespace {

class StepQueue {
 public:
  StepQueue(Stream& stream, const StepModel& model, const StepPlan& plan, const StepOptions& options)
      : stream_(stream),
        shape_(model.shape),
        weights_(model.weights),
        kv_(model.kv),
        b_(model.buffers),
        gemm_(model.gemm),
        plan_(plan),
        options_(options) {}

  void Enqueue() {
    Embed();
    const float* delta = nullptr;
    for (int layer = 0; layer < shape_.layers; ++layer) {
      const LayerWeights& w = weights_.layers[layer];
      Norm(delta, w.attention_norm);
      Multiply(StepKind::kQkv, w.qkv, b_.normed_bf16, b_.qkv_f32, shape_.QkvWidth(), shape_.hidden, 1);
      Rope(w, layer);
      Attend(layer);
      Multiply(StepKind::kO, w.o, b_.attention_bf16, b_.delta_f32, shape_.hidden, shape_.QWidth(),
               kSkinnyLeaves);
      delta = b_.delta_f32.data();
      Norm(delta, w.ffn_norm);
      Multiply(StepKind::kGateUp, w.gate_up, b_.normed_bf16, b_.gate_up_bf16, 2 * shape_.ffn, shape_.hidden,
               1);
      Silu();
      Multiply(StepKind::kDown, w.down, b_.activated_bf16, b_.delta_f32, shape_.hidden, shape_.ffn,
               kSkinnyLeaves);
    }
    Choose(delta);
  }

 private:
  bool On(StepKind kind) const { return (options_.kinds & StepBit(kind)) != 0; }

  // The first kernel starts when all before the step has ended.
  void Embed() {
    if (!On(StepKind::kEmbed)) return;
    cuda::Embed(stream_, plan_.tokens,
                {weights_.embedding, b_.ids.data(), 0, shape_.vocabulary, shape_.hidden, b_.x_f32.data()});
  }

  void Norm(const float* delta, const float* weight) {
    if (!On(StepKind::kNorm)) return;
    AddRmsNorm<float>(stream_, plan_.tokens,
                      {b_.x_f32.data(), delta, weight, b_.normed_bf16.data(), shape_.hidden, shape_.norm_eps},
                      options_.order);
  }

  template <typename Out>
  void Multiply(StepKind kind, const uint16_t* weights, const DeviceArray<uint16_t>& x,
                const DeviceArray<Out>& y, int n, int k, int leaves) {
    if (!On(kind)) return;
    gemm_.Run(stream_, {weights, x.data(), y.data(), sizeof(Out) == 2, plan_.tokens, n, k, n, leaves},
              options_.order);
  }

  void Rope(const LayerWeights& w, int layer) {
    if (!On(StepKind::kRope)) return;
    RopeAndStore<float>(stream_, plan_.tokens,
                        {b_.qkv_f32.data(), w.qkv_bias, weights_.rope_table, b_.positions.data(),
                         b_.slots.data(), b_.q_bf16.data(), kv_.layers_bf16[layer].data(), shape_.query_heads,
                         shape_.kv_heads, shape_.head_dim},
                        options_.order);
  }

  void Attend(int layer) {
    const bool walk = On(StepKind::kAttention), combine = On(StepKind::kCombine);
    const AttentionWork work{b_.narrow.data(),      b_.wide.data(),    walk ? plan_.narrow : 0,
                             walk ? plan_.wide : 0, b_.combine.data(), combine ? plan_.combine : 0};
    const AttentionParams params{.q = b_.q_bf16.data(),
                                 .pages = kv_.layers_bf16[layer].data(),
                                 .tables = b_.tables.data(),
                                 .sequences = b_.sequences.data(),
                                 .items = nullptr,
                                 .out = b_.attention_bf16.data(),
                                 .partial_out = b_.partial_out_f32.data(),
                                 .partial_state = b_.partial_state_f32.data(),
                                 .query_heads = shape_.query_heads,
                                 .kv_heads = shape_.kv_heads,
                                 .scale_log2 = AttentionScaleLog2(shape_.head_dim)};
    Attention(stream_, shape_.head_dim, params, work, options_.order);
  }

  void Silu() {
    if (!On(StepKind::kSilu)) return;
    SiluMul<uint16_t>(stream_, plan_.tokens, {b_.gate_up_bf16.data(), b_.activated_bf16.data(), shape_.ffn},
                      options_.order);
  }

  // Each sequence's last row alone goes on.
  void Choose(const float* delta) {
    if (On(StepKind::kNorm)) {
      AddRmsNorm<float>(stream_, plan_.sequences,
                        {b_.x_f32.data(), delta, weights_.final_norm, b_.last_normed_bf16.data(),
                         shape_.hidden, shape_.norm_eps, b_.last_rows.data()},
                        options_.order);
    }
    if (On(StepKind::kLmHead)) {
      gemm_.Run(stream_,
                {weights_.lm_head, b_.last_normed_bf16.data(), b_.logits_f32.data(), false, plan_.sequences,
                 shape_.vocabulary, shape_.hidden, shape_.LogitsStride(), 1},
                options_.order);
    }
    if (!On(StepKind::kSample)) return;
    SampleTokens(stream_, plan_.sequences,
                 {b_.logits_f32.data(), shape_.LogitsStride(), b_.rules.data(), b_.sample_weights_f32.data(),
                  shape_.LogitsStride(), b_.sampled_ids.data(), nullptr, shape_.vocabulary});
  }

  Stream& stream_;
  const StepShape& shape_;
  const StepWeights& weights_;
  const KvPool& kv_;
  const StepBuffers& b_;
  Gemm& gemm_;
  const StepPlan& plan_;
  const StepOptions& options_;
};

}  // namespace

void EnqueueStep(Stream& stream, const StepModel& model, const StepPlan& plan, const StepOptions& options) {
  if (plan.tokens == 0) return;
  StepQueue(stream, model, plan, options).Enqueue();
}

void EnqueueAdvance(Stream& stream, const StepModel& model, const StepPlan& plan, Order order) {
  if (plan.tokens != plan.sequences) return stream.Record("only decode steps advance on the device");
  if (plan.sequences == 0) return;
  const StepBuffers& b = model.buffers;
  Launch<AdvanceKernel>(stream, {.x = 1}, 0,
                        {b.sampled_ids.data(), b.ids.data(), b.positions.data(), b.slots.data(),
                         b.sequences.data(), b.tables.data(), plan.sequences},
                        order);
}

}  // namespace quire::kernels::cuda
