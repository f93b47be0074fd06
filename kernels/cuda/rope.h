// Between the QKV product and attention: adds the bias, norms each head of q and k where the model has such
// norms, rotates q and k by their positions (pairs are (i, i + head_dim / 2)), rounds to bf16, writes K and V
// into the pages. YaRN lives in the table. A row's bits depend on the row and its position alone. Called on
// the host by whoever owns the stream.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/kv_pages.h"
#include "kernels/cuda/vector8.h"

namespace quire::kernels::cuda {

template <typename In>  // float or bf16's bits
struct RopeKernel {
  struct Params {
    const In* qkv;             // [tokens, (query_heads + 2 kv_heads) * head_dim]
    const float* bias;         // of a row, or null
    const float* table;        // [positions][cosines, then sines][head_dim / 2], times the scale
    const int32_t* positions;  // of each token: its row of the table
    const int32_t* slots;      // of each token: block * 16 + the position within it
    uint16_t* q_out;           // [tokens, query_heads * head_dim]
    uint16_t* pages;           // of this layer
    int query_heads, kv_heads, head_dim;
    const float *q_norm = nullptr, *k_norm = nullptr;  // RMSNorm's weights [head_dim], where there are any
    float norm_eps = 0;
  };
  static constexpr int kThreads = 128, kMinBlocks = 1;

  // A thread has eight elements and their eight partners.
  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    WaitForPriorKernel();
    const int half = p.head_dim / 2, threads_of_head = half / 8;
    const int at = BlockIndex().y * kThreads + ThreadIndex();
    const int heads = p.query_heads + 2 * p.kv_heads, first = at % threads_of_head * 8;
    const bool beyond = at / threads_of_head >= heads;  // goes along to the shuffles
    const int head = beyond ? heads - 1 : at / threads_of_head;
    const int64_t token = BlockIndex().x;
    float low[8], high[8];
    LoadPair(p, (token * heads + head) * p.head_dim, head * p.head_dim, first, low, high);
    if (p.q_norm != nullptr || p.k_norm != nullptr) NormHead(p, head, first, low, high);
    if (beyond) return;
    if (head < p.query_heads + p.kv_heads) Rotate(p, p.positions[token], first, low, high);
    uint16_t* to = Target(p, token, head) + first;
    Store8(to, low);
    Store8(to + half, high);
  }

 private:
  static QUIRE_DEVICE void LoadPair(const Params& p, int64_t row, int column, int first, float (&low)[8],
                                    float (&high)[8]) {
    const int half = p.head_dim / 2;
    Load8(p.qkv + row + first, low);
    Load8(p.qkv + row + first + half, high);
    if (p.bias == nullptr) return;
    float low_bias[8], high_bias[8];
    Load8(p.bias + column + first, low_bias);
    Load8(p.bias + column + first + half, high_bias);
    QUIRE_UNROLL
    for (int i = 0; i < 8; ++i) {
      low[i] += low_bias[i];
      high[i] += high_bias[i];
    }
  }

  // All lanes come. The threads of a head are a power of two, side by side.
  static QUIRE_DEVICE void NormHead(const Params& p, int head, int first, float (&low)[8], float (&high)[8]) {
    float sum = 0;
    QUIRE_UNROLL
    for (int i = 0; i < 8; ++i) sum = Fma(high[i], high[i], Fma(low[i], low[i], sum));
    for (int mask = p.head_dim / 32; mask > 0; mask /= 2) sum += ShuffleXor(sum, mask);
    const float* weight = head < p.query_heads                ? p.q_norm
                          : head < p.query_heads + p.kv_heads ? p.k_norm
                                                              : nullptr;
    if (weight == nullptr) return;
    const float scale = Rsqrt(sum / static_cast<float>(p.head_dim) + p.norm_eps);
    float low_weight[8], high_weight[8];
    Load8(weight + first, low_weight);
    Load8(weight + first + p.head_dim / 2, high_weight);
    QUIRE_UNROLL
    for (int i = 0; i < 8; ++i) {
      low[i] = low[i] * scale * low_weight[i];
      high[i] = high[i] * scale * high_weight[i];
    }
  }

  static QUIRE_DEVICE void Rotate(const Params& p, int position, int first, float (&low)[8],
                                  float (&high)[8]) {
    const float* table = p.table + static_cast<int64_t>(position) * p.head_dim;
    float cosine[8], sine[8];
    Load8(table + first, cosine);
    Load8(table + p.head_dim / 2 + first, sine);
    QUIRE_UNROLL
    for (int i = 0; i < 8; ++i) {
      const float x = low[i], y = high[i];
      low[i] = Fma(x, cosine[i], -(y * sine[i]));
      high[i] = Fma(y, cosine[i], x * sine[i]);
    }
  }

  static QUIRE_DEVICE uint16_t* Target(const Params& p, int64_t token, int head) {
    if (head < p.query_heads) return p.q_out + (token * p.query_heads + head) * p.head_dim;
    const bool value = head >= p.query_heads + p.kv_heads;
    const int kv_head = head - p.query_heads - (value ? p.kv_heads : 0), slot = p.slots[token];
    return p.pages + PageOffset(slot / kPageKeys, p.kv_heads, kv_head, p.head_dim) +
           (slot % kPageKeys + (value ? kPageKeys : 0)) * p.head_dim;
  }
};

template <typename In>
void RopeAndStore(Stream& stream, int tokens, const typename RopeKernel<In>::Params& params,
                  Order order = Order::kAfter) {
  constexpr int kThreads = RopeKernel<In>::kThreads;
  if (params.head_dim % 16 != 0) return stream.Record("head_dim must be a multiple of 16");
  const int of_head = params.head_dim / 16;
  const bool together = of_head <= kWarpLanes && (of_head & (of_head - 1)) == 0;
  if ((params.q_norm != nullptr || params.k_norm != nullptr) && !together)
    return stream.Record("normed heads have 16, 32, 64, 128, 256 or 512 dimensions");
  const int threads = (params.query_heads + 2 * params.kv_heads) * params.head_dim / 16;
  Launch<RopeKernel<In>>(stream, {.x = tokens, .y = (threads + kThreads - 1) / kThreads}, 0, params, order);
}

}  // namespace quire::kernels::cuda
