// Kernels that go over rows of activations: embedding, residual add with RMSNorm, SiLU times up, gathering. A
// row's result depends on that row alone; sums run in an order that the row's length fixes. Rows are dense
// and their length is a multiple of 8. Called on the host by whoever owns the stream.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/vector8.h"

namespace quire::kernels::cuda {

// out[i] = row ids[i] - first_row of the table (bf16 [rows, hidden]), zeros where this rank has no such row.
struct EmbedKernel {
  struct Params {
    const uint16_t* table;
    const int32_t* ids;
    int first_row, rows, hidden;
    float* out;
  };
  static constexpr int kThreads = 256, kMinBlocks = 1;

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    WaitForPriorKernel();
    const int64_t token = BlockIndex().x;
    const int row = p.ids[token] - p.first_row;
    const bool mine = row >= 0 && row < p.rows;
    for (int at = ThreadIndex() * 8; at < p.hidden; at += kThreads * 8) {
      float v[8] = {};
      if (mine) Load8(p.table + static_cast<int64_t>(row) * p.hidden + at, v);
      Store8(p.out + token * p.hidden + at, v);
    }
  }
};

// x += delta (where there is one), then out bf16 = x * rsqrt(mean(x^2) + eps) * weight. The row stays in
// registers. Row i of out is that of row rows[i] of x, where rows are named.
template <typename Delta>  // float or bf16's bits
struct AddRmsNormKernel {
  struct Params {
    float* x;
    const Delta* delta;  // or null
    const float* weight;
    uint16_t* out;
    int hidden;
    float eps;
    const int32_t* rows = nullptr;
  };
  static constexpr int kThreads = 320, kMinBlocks = 1;  // QwQ's 5120 are two rounds
  static constexpr int kWarps = kThreads / kWarpLanes, kRounds = 4;
  static constexpr int kLongestRow = kThreads * 8 * kRounds;
  static constexpr int kSharedBytes = kWarps * sizeof(float);

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    float weight[kRounds][8];  // doesn't depend on the kernel before
    QUIRE_UNROLL
    for (int round = 0; round < kRounds; ++round) {
      if (Place(round) < p.hidden) Load8(p.weight + Place(round), weight[round]);
    }
    WaitForPriorKernel();
    const int64_t block = BlockIndex().x, first = (p.rows == nullptr ? block : p.rows[block]) * p.hidden;
    float row[kRounds][8];
    float sum = 0;
    QUIRE_UNROLL
    for (int round = 0; round < kRounds; ++round) {
      if (Place(round) < p.hidden) sum += SquareSum(p, first + Place(round), row[round]);
    }
    const float scale = Rsqrt(BlockSum(sum) / static_cast<float>(p.hidden) + p.eps);
    QUIRE_UNROLL
    for (int round = 0; round < kRounds; ++round) {
      if (Place(round) >= p.hidden) continue;
      QUIRE_UNROLL
      for (int i = 0; i < 8; ++i) row[round][i] = row[round][i] * scale * weight[round][i];
      Store8(p.out + block * p.hidden + Place(round), row[round]);
    }
  }

 private:
  static QUIRE_DEVICE int Place(int round) { return (round * kThreads + ThreadIndex()) * 8; }

  static QUIRE_DEVICE float SquareSum(const Params& p, int64_t at, float (&v)[8]) {
    Load8(p.x + at, v);
    if (p.delta != nullptr) {
      float delta[8];
      Load8(p.delta + at, delta);
      QUIRE_UNROLL
      for (int i = 0; i < 8; ++i) v[i] += delta[i];
      Store8(p.x + at, v);
    }
    float sum = 0;
    QUIRE_UNROLL
    for (int i = 0; i < 8; ++i) sum = Fma(v[i], v[i], sum);
    return sum;
  }

  // Of all threads, for all threads.
  static QUIRE_DEVICE float BlockSum(float value) {
    QUIRE_UNROLL
    for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) value += ShuffleXor(value, mask);
    float* of_warps = reinterpret_cast<float*>(SharedMemory());
    if (LaneIndex() == 0) of_warps[WarpIndex()] = value;
    SyncBlock();
    float sum = 0;
    QUIRE_UNROLL
    for (int warp = 0; warp < kWarps; ++warp) sum += of_warps[warp];
    return sum;
  }
};

// out bf16 [tokens, ffn] = silu(gate) * up of gate_up [tokens, 2 * ffn], gate first.
template <typename In>
struct SiluMulKernel {
  struct Params {
    const In* gate_up;
    uint16_t* out;
    int ffn;
  };
  static constexpr int kThreads = 256, kMinBlocks = 1;

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    WaitForPriorKernel();
    const int64_t token = BlockIndex().x;
    const int at = (BlockIndex().y * kThreads + ThreadIndex()) * 8;
    if (at >= p.ffn) return;
    float gate[8], up[8];
    Load8(p.gate_up + token * 2 * p.ffn + at, gate);
    Load8(p.gate_up + token * 2 * p.ffn + p.ffn + at, up);
    QUIRE_UNROLL
    for (int i = 0; i < 8; ++i) up[i] *= gate[i] * Reciprocal(1 + Exp(-gate[i]));
    Store8(p.out + token * p.ffn + at, up);
  }
};

// y += bias, of each row.
struct AddBiasKernel {
  struct Params {
    float* y;
    const float* bias;
    int columns;
    int64_t y_stride;
  };
  static constexpr int kThreads = 256, kMinBlocks = 1;

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    WaitForPriorKernel();
    float* row = p.y + BlockIndex().x * p.y_stride;
    for (int at = ThreadIndex(); at < p.columns; at += kThreads) row[at] += p.bias[at];
  }
};

// Row i of out = row rows[i] of x, whatever its elements are: `words` of 16 bytes.
struct GatherRowsKernel {
  struct Params {
    const Word128* x;
    const int32_t* rows;
    Word128* out;
    int words;
  };
  static constexpr int kThreads = 256, kMinBlocks = 1;

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    WaitForPriorKernel();
    const int64_t row = BlockIndex().x, from = static_cast<int64_t>(p.rows[row]) * p.words;
    for (int at = ThreadIndex(); at < p.words; at += kThreads) {
      Store128(p.out + row * p.words + at, Load128(p.x + from + at));
    }
  }
};

// All of them may be launched overlapping.
inline void Embed(Stream& stream, int tokens, const EmbedKernel::Params& params,
                  Order order = Order::kAfter) {
  Launch<EmbedKernel>(stream, {.x = tokens}, 0, params, order);
}
template <typename Delta>
void AddRmsNorm(Stream& stream, int tokens, const typename AddRmsNormKernel<Delta>::Params& params,
                Order order = Order::kAfter) {
  using Kernel = AddRmsNormKernel<Delta>;
  if (params.hidden > Kernel::kLongestRow)
    return stream.Record("a row is longer than AddRmsNorm's registers");
  Launch<Kernel>(stream, {.x = tokens}, Kernel::kSharedBytes, params, order);
}
inline void AddBias(Stream& stream, int rows, const AddBiasKernel::Params& params,
                    Order order = Order::kAfter) {
  Launch<AddBiasKernel>(stream, {.x = rows}, 0, params, order);
}
inline void GatherRows(Stream& stream, int rows, const GatherRowsKernel::Params& params,
                       Order order = Order::kAfter) {
  Launch<GatherRowsKernel>(stream, {.x = rows}, 0, params, order);
}
template <typename In>
void SiluMul(Stream& stream, int tokens, const typename SiluMulKernel<In>::Params& params,
             Order order = Order::kAfter) {
  constexpr int kOfBlock = SiluMulKernel<In>::kThreads * 8;
  Launch<SiluMulKernel<In>>(stream, {.x = tokens, .y = (params.ffn + kOfBlock - 1) / kOfBlock}, 0, params,
                            order);
}

}  // namespace quire::kernels::cuda
