// y[m, n] = x[m, k] * weights[n, k]^T for up to 32 rows of x: the decode GEMM, which is nothing but reading
// weights at DRAM's speed. bf16 in, fp32 sums, y fp32 or bf16. Launched by skinny_gemm_launch.h; any stream.
//
// What always holds: the order of every sum is a function of k and the number of leaves alone. k is cut into
// steps of 32 and those into L nearly equal leaves (leaf i: steps [i S / L, (i + 1) S / L)); a leaf is one
// chain of mma in the order of k; leaves meet in one binary tree. So a row's bits don't depend on m, its
// place among the rows, or any tile size; and a rank that holds 1 / R of k and L / R leaves computes a
// subtree, whose top is the all-reduce: the same bits for R = 1, 2, 4, 8 (wherever R divides S). With one
// leaf it is the plain chain.
//
// Weights are mma's 16-row operand, tokens its 8 columns. Warps of a block cut k (kSplits of them), each with
// a ring of its own in shared memory that no other warp sees, so no block barrier stands between copy and
// use, and the ring runs on across tiles.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

inline constexpr int kSkinnyStep = 32;   // elements of k that a warp takes at once
inline constexpr int kSkinnyLeaves = 8;  // of a sum that ranks share, all of them together
inline constexpr int kSkinnyMaxRows = 32;

template <typename Out>
struct SkinnyGemmParams {
  const uint16_t* weights;  // [n, k], rows weights_stride apart; 16-byte aligned rows, k % 8 == 0
  const uint16_t* x;        // [m, k], rows x_stride apart
  Out* y;                   // [m, n], rows y_stride apart; float or bf16 bits (uint16_t)
  const float* bias;        // [n] or null; added after the tree
  int m, n, k;
  int64_t weights_stride, x_stride, y_stride;
};

// kSplits warps cut k, each with kLeavesEach leaves; kGroups such sets of warps take different rows of
// weights; each takes kRowTiles x 16 rows at once against kColumnTiles x 8 rows of x; kStages steps are in
// flight.
template <int kSplitsArg, int kLeavesEachArg, int kGroupsArg, int kRowTilesArg, int kColumnTilesArg,
          int kStagesArg, int kStageStepsArg>
struct SkinnyTiling {
  static constexpr int kSplits = kSplitsArg, kLeavesEach = kLeavesEachArg, kGroups = kGroupsArg;
  static constexpr int kRowTiles = kRowTilesArg, kColumnTiles = kColumnTilesArg, kStages = kStagesArg;
  static constexpr int kStageSteps = kStageStepsArg;
  static constexpr int kLeaves = kSplits * kLeavesEach;
  static constexpr int kThreads = kSplits * kGroups * kWarpLanes;
  static constexpr int kRows = kGroups * kRowTiles * 16;  // of weights, per block
  static constexpr int kWarpBytes = 16 * kWarpLanes;
  static constexpr int kStepBytes = (2 * kRowTiles + kColumnTiles) * kWarpBytes;
  static constexpr int kStageBytes = kStageSteps * kStepBytes;
  static constexpr int kRingBytes = kStages * kStageBytes;
  static constexpr int kPartialBytes = kRowTiles * kColumnTiles * 4 * kWarpLanes * 4;  // of one warp
  static constexpr int kWarps = kSplits * kGroups;
  static constexpr int kSharedBytes = kWarps * (kRingBytes + 2 * kPartialBytes);
  // Of a multiprocessor with 228 KB, 1 KB of each block its own, leaving 64 registers to a thread.
  static constexpr int kFit = (228 << 10) / (kSharedBytes + (1 << 10));
  static constexpr int kMost = kThreads <= 128 ? 8 : 1024 / kThreads;
  static constexpr int kBlocks = kFit < kMost ? kFit : kMost;
  static_assert(kSharedBytes <= (227 << 10) && kThreads <= 1024 && kStages >= 2);
};

template <typename Tiling, typename Out>
struct SkinnyGemm {
  using Params = SkinnyGemmParams<Out>;
  static constexpr int kThreads = Tiling::kThreads;
  static constexpr int kMinBlocks = Tiling::kBlocks, kSharedBytes = Tiling::kSharedBytes;
  static constexpr int kRowTiles = Tiling::kRowTiles, kColumnTiles = Tiling::kColumnTiles;
  static constexpr int kStages = Tiling::kStages;

  struct Sums {
    float of[kRowTiles][kColumnTiles][4];
  };

  static int Tiles(const Params& p) { return (p.n + Tiling::kRows - 1) / Tiling::kRows; }

  static QUIRE_DEVICE void Run(const Params& p) { SkinnyGemm(p).RunWarp(); }

 private:
  QUIRE_DEVICE explicit SkinnyGemm(const Params& params)
      : p(params),
        lane(LaneIndex()),
        split(WarpIndex() % Tiling::kSplits),
        group(WarpIndex() / Tiling::kSplits),
        steps((params.k + kSkinnyStep - 1) / kSkinnyStep),
        tiles((params.n + Tiling::kRows - 1) / Tiling::kRows),
        begin(LeafBegin(split * Tiling::kLeavesEach)),
        end(LeafBegin((split + 1) * Tiling::kLeavesEach)),
        copy_offset(lane % kRowLanes / 4 * Tiling::kStepBytes + lane / kRowLanes * 64 +
                    ChunkOffset(lane / kRowLanes, lane % 4)),
        weights_offset(lane / 8 % 2 * Tiling::kWarpBytes + lane % 8 * 64 + ChunkOffset(lane % 8, lane / 16)),
        x_offset(lane % 8 * 64 + ChunkOffset(lane % 8, lane / 8)),
        ring(SharedMemory() + WarpIndex() * Tiling::kRingBytes) {}

  // Eight rows of a step: 64 bytes each, its four chunks turned about so that ldmatrix meets no bank twice.
  static QUIRE_DEVICE int ChunkOffset(int row, int chunk) { return ((chunk ^ (row / 2)) & 3) * 16; }

  QUIRE_DEVICE int LeafBegin(int leaf) const {
    return static_cast<int>(static_cast<int64_t>(leaf) * steps / Tiling::kLeaves);
  }

  // Copies take whole lines of DRAM where a stage has pairs of steps: kRowLanes lanes to a row of weights.
  static constexpr int kRowLanes = Tiling::kStageSteps % 2 == 0 ? 8 : 4, kCopyRows = kWarpLanes / kRowLanes;
  static constexpr int kCopySteps = kRowLanes / 4;

  // Where the ring is filled: a stage of a tile, and where its weights and x begin for this lane.
  struct Cursor {
    int tile, step, rows_left;
    const uint16_t* weights;
    const uint16_t* x;
  };
  QUIRE_DEVICE void Enter(Cursor& at, int tile) const {
    at.tile = tile;
    at.step = begin;
    const int row = tile * Tiling::kRows + group * kRowTiles * 16 + lane / kRowLanes;
    const int k = begin * kSkinnyStep + lane % kRowLanes * 8;
    at.rows_left = p.n - row;
    at.weights = p.weights + row * p.weights_stride + k;
    at.x = p.x + lane / kRowLanes * p.x_stride + k;
  }
  QUIRE_DEVICE void Advance(Cursor& at) const {
    at.step += Tiling::kStageSteps;
    at.weights += Tiling::kStageSteps * kSkinnyStep;
    at.x += Tiling::kStageSteps * kSkinnyStep;
    if (at.step >= end) Enter(at, at.tile + GridSize().x);
  }
  QUIRE_DEVICE bool Any(const Cursor& at) const { return at.tile < tiles && begin < end; }
  // Whether this lane's part of the steps from `step` on is the warp's.
  QUIRE_DEVICE bool InRange(const Cursor& at, int step) const {
    return at.step + step + lane % kRowLanes / 4 < end;
  }
  QUIRE_DEVICE bool InK(const Cursor& at, int step) const {
    return (at.step + step) * kSkinnyStep + lane % kRowLanes * 8 < p.k;
  }
  // Where the i-th copy of a step (or pair) puts its rows: eight of them fill 512 bytes.
  QUIRE_DEVICE std::byte* CopyTarget(std::byte* stage, int step, int i) const {
    const int row = i * kCopyRows % 8;
    return stage + step * Tiling::kStepBytes + i * kCopyRows / 8 * Tiling::kWarpBytes + row * 64 +
           (copy_offset ^ row / 2 * 16);
  }

  QUIRE_DEVICE void FetchWeights(const Cursor& at, std::byte* stage) const {
    QUIRE_UNROLL
    for (int step = 0; step < Tiling::kStageSteps; step += kCopySteps) {
      if (!InRange(at, step)) continue;
      QUIRE_UNROLL
      for (int i = 0; i < kRowTiles * 16 / kCopyRows; ++i) {
        CopyAsync16(CopyTarget(stage, step, i),
                    at.weights + i * kCopyRows * p.weights_stride + step * kSkinnyStep,
                    InK(at, step) && i * kCopyRows < at.rows_left);
      }
    }
  }
  QUIRE_DEVICE void FetchX(const Cursor& at, std::byte* stage) const {
    QUIRE_UNROLL
    for (int step = 0; step < Tiling::kStageSteps; step += kCopySteps) {
      if (!InRange(at, step)) continue;
      QUIRE_UNROLL
      for (int i = 0; i < kColumnTiles * 8 / kCopyRows; ++i) {
        if (lane / kRowLanes + i * kCopyRows >= p.m) continue;
        CopyAsync16Kept(CopyTarget(stage + 2 * kRowTiles * Tiling::kWarpBytes, step, i),
                        at.x + i * kCopyRows * p.x_stride + step * kSkinnyStep, InK(at, step));
      }
    }
  }

  // All of the ring but one stage. The weights don't depend on the kernel before; x does.
  QUIRE_DEVICE void FillRing() {
    Enter(fetch, BlockIndex().x);
    Cursor first = fetch;
    for (int i = 0; i < kStages - 1; ++i) {
      if (Any(fetch)) FetchWeights(fetch, ring + i * Tiling::kStageBytes);
      Advance(fetch);
    }
    WaitForPriorKernel();
    for (int i = 0; i < kStages - 1; ++i) {
      if (Any(first)) FetchX(first, ring + i * Tiling::kStageBytes);
      Advance(first);
      CopyAsyncCommit();
    }
  }

  // Two k16 steps, in order.
  QUIRE_DEVICE void MultiplyStep(const std::byte* from, Sums& sums) const {
    uint32_t x[kColumnTiles][4];
    QUIRE_UNROLL
    for (int j = 0; j < kColumnTiles; ++j)
      LdMatrix4(x[j], from + (2 * kRowTiles + j) * Tiling::kWarpBytes + x_offset);
    QUIRE_UNROLL
    for (int half = 0; half < 2; ++half) {
      QUIRE_UNROLL
      for (int i = 0; i < kRowTiles; ++i) {
        uint32_t a[4];
        LdMatrix4(a, from + 2 * i * Tiling::kWarpBytes + (weights_offset ^ (half * 32)));
        QUIRE_UNROLL
        for (int j = 0; j < kColumnTiles; ++j) {
          const uint32_t b[2] = {x[j][2 * half], x[j][2 * half + 1]};
          MmaBf16(sums.of[i][j], a, b);
        }
      }
    }
  }

  // A new stage: it has landed, and the one before it is free to be filled.
  QUIRE_DEVICE void TurnRing() {
    CopyAsyncWait<kStages - 2>();
    SyncWarp();
    std::byte* const freed = ring + (slot == 0 ? kStages - 1 : slot - 1) * Tiling::kStageBytes;
    if (Any(fetch)) {
      FetchWeights(fetch, freed);
      FetchX(fetch, freed);
    }
    CopyAsyncCommit();
    Advance(fetch);
  }

  QUIRE_DEVICE Sums SumLeaf(int leaf) {
    Sums sums = {};
    const int last = LeafBegin(leaf + 1);
    for (int step = LeafBegin(leaf); step < last; ++step) {
      if (slot_step == 0) TurnRing();
      const std::byte* const stage = ring + slot * Tiling::kStageBytes;
      if (slot_step == 0 && step + Tiling::kStageSteps <= last) {
        QUIRE_UNROLL
        for (int i = 0; i < Tiling::kStageSteps; ++i) MultiplyStep(stage + i * Tiling::kStepBytes, sums);
        step += Tiling::kStageSteps - 1;
        slot_step = Tiling::kStageSteps;
      } else {
        MultiplyStep(stage + slot_step * Tiling::kStepBytes, sums);
        ++slot_step;
      }
      if (slot_step == Tiling::kStageSteps || step + 1 == end) {
        slot_step = 0;
        slot = slot + 1 == kStages ? 0 : slot + 1;
      }
    }
    return sums;
  }

  template <int kCount>
  QUIRE_DEVICE Sums SumLeaves(int first) {
    if constexpr (kCount == 1) {
      return SumLeaf(first);
    } else {
      Sums left = SumLeaves<kCount / 2>(first);
      const Sums right = SumLeaves<kCount / 2>(first + kCount / 2);
      QUIRE_UNROLL
      for (int i = 0; i < kRowTiles; ++i) {
        QUIRE_UNROLL
        for (int j = 0; j < kColumnTiles; ++j) {
          QUIRE_UNROLL
          for (int c = 0; c < 4; ++c) left.of[i][j][c] = left.of[i][j][c] + right.of[i][j][c];
        }
      }
      return left;
    }
  }

  QUIRE_DEVICE float* Partial(int buffer, int of_group, int of_split) const {
    const int warp = of_group * Tiling::kSplits + of_split;
    return reinterpret_cast<float*>(SharedMemory() + Tiling::kWarps * Tiling::kRingBytes +
                                    (buffer * Tiling::kWarps + warp) * Tiling::kPartialBytes);
  }

  QUIRE_DEVICE void StorePartial(int buffer, const Sums& sums) const {
    float* to = Partial(buffer, group, split);
    QUIRE_UNROLL
    for (int i = 0; i < kRowTiles; ++i) {
      QUIRE_UNROLL
      for (int j = 0; j < kColumnTiles; ++j) {
        Word128 v;
        QUIRE_UNROLL
        for (int c = 0; c < 4; ++c) v.word[c] = FloatToBits(sums.of[i][j][c]);
        Store128(to + ((i * kColumnTiles + j) * kWarpLanes + lane) * 4, v);
      }
    }
  }

  // Element `row` of kRows, `column` < m: the tree over the splits.
  QUIRE_DEVICE float SumSplits(int buffer, int row, int column) const {
    const int in_group = row % (kRowTiles * 16), fragment = in_group / 16 * kColumnTiles + column / 8;
    const int of_lane = row % 8 * 4 + column % 8 / 2, c = row / 8 % 2 * 2 + column % 2;
    const float* from =
        Partial(buffer, row / (kRowTiles * 16), 0) + (fragment * kWarpLanes + of_lane) * 4 + c;
    float v[Tiling::kSplits];
    QUIRE_UNROLL
    for (int i = 0; i < Tiling::kSplits; ++i) v[i] = from[i * (Tiling::kPartialBytes / 4)];
    QUIRE_UNROLL
    for (int width = 1; width < Tiling::kSplits; width *= 2) {
      QUIRE_UNROLL
      for (int i = 0; i + width < Tiling::kSplits; i += 2 * width) v[i] = v[i] + v[i + width];
    }
    return v[0];
  }

  QUIRE_DEVICE void StoreTile(int buffer, int tile) const {
    for (int i = ThreadIndex(); i < Tiling::kRows * p.m; i += kThreads) {
      const int row = i % Tiling::kRows, column = i / Tiling::kRows;
      const int n = tile * Tiling::kRows + row;
      if (n >= p.n) continue;
      float sum = SumSplits(buffer, row, column);
      if (p.bias != nullptr) sum = sum + p.bias[n];
      Out* to = p.y + column * p.y_stride + n;
      if constexpr (sizeof(Out) == 4) {
        *to = sum;
      } else {
        *to = FloatToBf16(sum);
      }
    }
  }

  QUIRE_DEVICE void RunWarp() {
    LetNextKernelStart();
    FillRing();
    int buffer = 0;
    for (int tile = BlockIndex().x; tile < tiles; tile += GridSize().x) {
      const Sums sums = SumLeaves<Tiling::kLeavesEach>(split * Tiling::kLeavesEach);
      StorePartial(buffer, sums);
      // One barrier a tile: the buffer of the tile before is read before the next one's barrier.
      SyncBlock();
      StoreTile(buffer, tile);
      buffer ^= 1;
    }
    CopyAsyncWait<0>();
  }

  const Params& p;
  const int lane, split, group, steps, tiles, begin, end;
  const int copy_offset, weights_offset, x_offset;
  std::byte* const ring;
  Cursor fetch = {};
  int slot = 0, slot_step = 0;
};

}  // namespace quire::kernels::cuda
