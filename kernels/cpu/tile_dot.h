// One tile product of the family cpu-bf16-2, as AMX's TDPBF16PS computes it (Intel 64 and IA-32 Architectures
// Software Developer's Manual, volume 2, TDPBF16PS, "Operation"): of 16 pairs of k, a chain of fused
// multiply-adds over the even k's and one over the odd k's, each from +0, then sum += even + odd. Every
// operation rounds to nearest even and takes and gives denormals as zeros, whatever MXCSR says. Rows and
// lanes know nothing of one another. Two implementations of TilePanel: tiles_amx.h, the instruction, and
// tiles_twin.h, the same bits by AVX2's FMA with FTZ and DAZ. Included before either.
#pragma once

namespace quire::kernels::cpu {
namespace {

constexpr int64_t kStepPairs = 16;  // pairs of k in a tile product; what is missing in the last one is zeros
constexpr int64_t kGroupRows = 16;  // most rows of x in a tile
constexpr int64_t kMaxGroups = 2;   // tiles of x that pass over a panel together

// template <int kPanel, int kGroups, int kLines> void TilePanel(const TileDot& dot):
// kGroups of rows of x against the panel's kPanel strips. A step prefetches kLines cache lines.
struct TileDot {
  int64_t steps;                  // of kStepPairs pairs
  const uint16_t* weights;        // a panel's chunk: [steps][kStepPairs][kPanel][16][2]
  const uint16_t* x[kMaxGroups];  // each group's first row
  int64_t x_stride;
  int64_t rows;           // of each group, at most kGroupRows
  float* tile;            // [kGroups][rows][48]
  bool adds;              // to the sums in the tile; else to zero
  const uint16_t* ahead;  // what to prefetch meanwhile
};

}  // namespace
}  // namespace quire::kernels::cpu
