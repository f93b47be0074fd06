// Tile products in AMX's tile registers. Included by kernels_amx.cc only; tiles_twin.h gives the same bits.
// The instructions are spelt out: g++ 12's _tile_loadconfig tells the optimizer of 8 of its 64 bytes, and a
// compiler that knows of no tiles neither moves nor spills any. tile_dot.h says what is computed.
#pragma once

namespace quire::kernels::cpu {
namespace {

// Tiles 0 to 5 are the sums of [group][strip], the others one tile of x and one of weights.
constexpr int kXTile = 6, kWeightsTile = 7;
constexpr int64_t kTileRowBytes = 64;
constexpr int64_t kSumStride = kPanelRows * static_cast<int64_t>(sizeof(float));

// What LDTILECFG reads (the manual's chapter on AMX, "TILECFG").
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

// This thread's tiles, for groups of `rows` rows. Released at the end: tiles in use are saved at every switch
// of threads, and keep an idle core awake.
class ThreadTiles {
 public:
  explicit ThreadTiles(int64_t rows) {
    TileConfig config;
    for (int tile = 0; tile <= kWeightsTile; ++tile) {
      config.row_bytes[tile] = kTileRowBytes;
      config.rows[tile] = static_cast<uint8_t>(tile == kWeightsTile ? kStepPairs : rows);
    }
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  ~ThreadTiles() { asm volatile("tilerelease"); }
  ThreadTiles(const ThreadTiles&) = delete;
  ThreadTiles& operator=(const ThreadTiles&) = delete;
};

template <int kTile>
inline void ZeroTile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
template <int kTile>
inline void LoadTile(const void* rows, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(rows), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
inline void StoreTile(void* rows, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(rows), "r"(stride), "i"(kTile) : "memory");
}
// sums += x * weights.
template <int kSums>
inline void DotTiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kXTile), "i"(kWeightsTile));
}

template <int kGroup, int kPanel, int kStrip = 0>
inline void BeginSums(const TileDot& dot) {
  constexpr int kSums = kGroup * static_cast<int>(kPanelVectors) + kStrip;
  if (dot.adds) {
    LoadTile<kSums>(dot.tile + kGroup * dot.rows * kPanelRows + kStrip * kLanes, kSumStride);
  } else {
    ZeroTile<kSums>();
  }
  if constexpr (kStrip + 1 < kPanel) BeginSums<kGroup, kPanel, kStrip + 1>(dot);
}

template <int kGroup, int kPanel, int kStrip = 0>
inline void EndSums(const TileDot& dot) {
  constexpr int kSums = kGroup * static_cast<int>(kPanelVectors) + kStrip;
  StoreTile<kSums>(dot.tile + kGroup * dot.rows * kPanelRows + kStrip * kLanes, kSumStride);
  if constexpr (kStrip + 1 < kPanel) EndSums<kGroup, kPanel, kStrip + 1>(dot);
}

template <int kGroup, int kPanel, int kStrip = 0>
inline void DotStrips(const uint16_t* weights) {
  LoadTile<kWeightsTile>(weights + kStrip * 2 * kLanes, kPanel * kTileRowBytes);
  DotTiles<kGroup* static_cast<int>(kPanelVectors) + kStrip>();
  if constexpr (kStrip + 1 < kPanel) DotStrips<kGroup, kPanel, kStrip + 1>(weights);
}

template <int kPanel, int kGroups, int kLines>
void TilePanel(const TileDot& dot) {
  BeginSums<0, kPanel>(dot);
  if constexpr (kGroups == 2) BeginSums<1, kPanel>(dot);
  const uint16_t* weights = dot.weights;
  const uint16_t* x = dot.x[0];
  const uint16_t* second_x = dot.x[1];
  const uint16_t* ahead = dot.ahead;
  const int64_t x_stride = dot.x_stride * static_cast<int64_t>(sizeof(uint16_t));
  for (int64_t step = dot.steps; step > 0; --step) {
    LoadTile<kXTile>(x, x_stride);
    DotStrips<0, kPanel>(weights);
    if constexpr (kGroups == 2) {
      LoadTile<kXTile>(second_x, x_stride);
      DotStrips<1, kPanel>(weights);
      second_x += 2 * kStepPairs;
    }
#pragma GCC unroll 48
    for (int i = 0; i < kLines; ++i) PrefetchToL2(ahead + i * 2 * kLanes);
    x += 2 * kStepPairs;
    weights += kStepPairs * kPanel * 2 * kLanes;
    ahead += kLines * 2 * kLanes;
  }
  EndSums<0, kPanel>(dot);
  if constexpr (kGroups == 2) EndSums<1, kPanel>(dot);
}

}  // namespace
}  // namespace quire::kernels::cpu
