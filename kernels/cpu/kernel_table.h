// The compute kernels behind plain function pointers. Two families: cpu-bf16-1 is one table for each
// instruction set, compiled from the same sources (*.inl.h) over two SIMD wrappers; cpu-bf16-2 is such a
// table with other matmuls, AMX's or its twin's. Tables of a family give the same bits. Only plain data here:
// these structs cross into files compiled for newer CPUs, where a shared inline function could leak
// instructions that this CPU lacks. Kernels are pure but for their outputs; any thread that holds
// FlushDenormals calls them.
#pragma once

#include <cstdint>

#include "kernels/sampling/row_scans.h"

namespace quire::kernels::cpu {

inline constexpr int64_t kLanes = 16;        // outputs of one SIMD vector, keys of a KV block
inline constexpr int64_t kPanelVectors = 3;  // SIMD vectors of a full panel
inline constexpr int64_t kPanelRows = kLanes * kPanelVectors;
inline constexpr int64_t kMaxColumns = 512;  // tokens of one matmul call
inline constexpr int64_t kMaxQueryRows = 8;  // query rows of one attention call
inline constexpr int64_t kMaxHeadDim = 256;

// One thread's slice of a matmul: `rows` outputs for each of m input rows.
struct MatmulArgs {
  const uint16_t* x;  // [m][2 * leaves * leaf_pairs] bf16, x_stride apart
  int64_t x_stride, m;
  int64_t leaves;  // of k, each of leaf_pairs pairs (kernels/backend.h)
  int64_t leaf_pairs;
  const uint16_t* weights;  // the slice's panels (see packed_matrix.h)
  int64_t rows;
  const float* bias;  // [rows] or null; not read by silu_mul
  void* out;          // [m][rows], fp32, or bf16 by silu_mul; out_stride elements apart
  int64_t out_stride;
  float* tiles;  // scratch of kTiles * kTileFloats
};
// The same for weights in int8 (kernels/int8_rows.h), with x made int8 before.
struct Int8Args {
  const int8_t* x;  // [m][leaves * leaf_groups * group], x_stride apart
  int64_t x_stride, m;
  int64_t leaves, leaf_groups, group;
  const float* scales;    // of x's groups: [m][leaves * leaf_groups], scale_stride apart
  const int32_t* starts;  // the same for -128 times the sum of the group's numbers
  int64_t scale_stride;
  const uint8_t* weights;
  int64_t rows;
  const float* bias;
  void* out;
  int64_t out_stride;
  float* tiles;
};
// The scales of a leaf's groups stand before its weights in an int8 panel, for each SIMD row 16 in bf16,
// filled up to a cache line. (static: what is compiled for one CPU stays there.)
static constexpr int64_t Int8ScaleBytes(int64_t leaf_groups, int64_t panel) {
  return (leaf_groups * panel + 1) / 2 * 64;
}

// A panel's products of all columns; as many as may wait for their sum, in a tree of eight leaves.
inline constexpr int64_t kTileFloats = kMaxColumns * kPanelRows;
inline constexpr int64_t kTiles = 4;  // log2(kMaxLeaves) + 1

// Where the K and V of one sequence and KV head lie.
struct KvWalk {
  const uint16_t* pages;  // of block 0 (see kv_cache.h); block b's is b * page_stride elements on
  int64_t page_stride;
  const int32_t* blocks;  // [count], at least one
  int64_t count;
};

// Query rows that share a KV head of one sequence.
struct AttentionArgs {
  int64_t rows;
  const uint16_t* q[kMaxQueryRows];  // [head_dim] bf16
  uint16_t* out[kMaxQueryRows];      // [head_dim] bf16
  int64_t keys[kMaxQueryRows];       // positions 0..keys-1 are attended; at least 1
  int64_t head_dim;
  float scale;  // 1 / sqrt(head_dim)
  KvWalk walk;
  KvWalk next;  // what this thread will probably walk after it, for prefetching
};

struct MatmulKernels {
  void (*plain)(const MatmulArgs& args);
  void (*silu_mul)(const MatmulArgs& args);  // of a gate/up matrix
};

struct Int8Kernels {
  const char* name;
  void (*plain)(const Int8Args& args);
  void (*silu_mul)(const Int8Args& args);
  // A row of x [k]: q [k], and scale and start of each group.
  void (*quantize)(const uint16_t* x, int64_t k, int64_t group, int8_t* q, float* scales, int32_t* starts);
};

struct KernelTable {
  const char* name;
  const char* family;  // equal ones promise equal bits
  MatmulKernels matmuls;
  void (*attention)(const AttentionArgs& args);
  // x[n] += delta[n] unless delta is null; out = bf16(x / rms(x) * weight).
  void (*rms_norm)(float* x, const float* delta, const float* weight, int64_t n, float eps, uint16_t* out);
  // out[n] = x / rms(x) * weight.
  void (*norm_head)(const float* x, const float* weight, int64_t n, float eps, float* out);
  // out[2 * half] = bf16 of x rotated by cosine[half], sine[half]; pairs are (i, i + half).
  void (*rotate)(const float* x, const float* cosine, const float* sine, int64_t half, uint16_t* out);
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out);
  // acc[16] += w[16][2] . x[16][2], the step that cpu-bf16-1 is made of, and all attention; for the check
  // that tables agree.
  void (*dot_pairs)(const uint16_t* w, const uint16_t* x, float* acc);
  const RowScans* scans;  // of rows of logits
  Int8Kernels int8 = {};  // isa.cc's choice: all of them give the same bits
};

// Call only where the CPU has the instructions (see isa.h).
const KernelTable& Avx2Kernels();
const KernelTable& Avx512Kernels();
// cpu-bf16-2: AMX's, which only run where isa.h has proved it, and what gives the same bits on AVX2.
MatmulKernels AmxMatmuls();
MatmulKernels AmxTwinMatmuls();
// AVX2's widen; the others have dot products of bytes.
Int8Kernels Avx2Int8Kernels();
Int8Kernels AvxVnniInt8Kernels();
Int8Kernels Avx512Int8Kernels();

}  // namespace quire::kernels::cpu
