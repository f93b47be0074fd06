// The two products of attention's tiles, scores += q K and out += weights V, and how K and V stand in shared
// memory for them: 64 keys, in panels of 64 dimensions, a key's 128 bytes of a panel in a row, their 16-byte
// chunks permuted (xor with the key). Either form makes the same sums in the same order, so the same bits:
// WarpProducts with ldmatrix and mma.sync, a warp by itself; GroupProducts with wgmma, four warps together, K
// and V read once for 64 rows; its sums are there after Wait. Device code.
#pragma once

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

inline constexpr int kTileKeys = 64;
inline constexpr int kPanelRowBytes = 128, kPanelBytes = kTileKeys * kPanelRowBytes;

struct WarpProducts {
  // Matrices are dimensions 0-7 and 8-15 of keys 0-7, then of keys 8-15. Tiles are of eight keys.
  static QUIRE_DEVICE int KeysAt(int offset, int first_tile) {
    const int matrix = LaneIndex() / 8, in_matrix = LaneIndex() % 8;
    return Opaque(offset + (first_tile * 8 + matrix / 2 * 8 + in_matrix) * kPanelRowBytes +
                  ((matrix % 2) ^ in_matrix) * 16);
  }
  // Of 16 dimensions.
  template <int kTiles>
  static QUIRE_DEVICE void AddScores(float (&s)[kTiles][4], const uint32_t (&query)[4], int keys, int step) {
    QUIRE_UNROLL
    for (int tile = 0; tile < kTiles; tile += 2) {
      uint32_t k[4];
      LdMatrix4(k,
                SharedMemory() + (keys ^ step % 4 * 32) + step / 4 * kPanelBytes + tile * 8 * kPanelRowBytes);
      MmaBf16(s[tile], query, {k[0], k[1]});
      MmaBf16(s[tile + 1], query, {k[2], k[3]});
    }
  }

  // Matrices are keys 0-7 and 8-15 of dimensions 0-7, then of 8-15. Tiles are of eight dimensions; first_tile
  // is a multiple of how many there are.
  static QUIRE_DEVICE int ValuesAt(int offset, int first_tile) {
    const int matrix = LaneIndex() / 8, in_matrix = LaneIndex() % 8;
    return Opaque(offset + first_tile / 8 * kPanelBytes + (matrix % 2 * 8 + in_matrix) * kPanelRowBytes +
                  ((first_tile % 8 + matrix / 2) ^ in_matrix) * 16);
  }
  // Of 16 keys.
  template <int kTiles>
  static QUIRE_DEVICE void AddValues(float (&out)[kTiles][4], const uint32_t (&weights)[4], int values,
                                     int step) {
    QUIRE_UNROLL
    for (int tile = 0; tile < kTiles; tile += 2) {
      uint32_t v[4];
      LdMatrix4Trans(
          v, SharedMemory() + (values ^ tile % 8 * 16) + tile / 8 * kPanelBytes + step * 16 * kPanelRowBytes);
      MmaBf16(out[tile], weights, {v[0], v[1]});
      MmaBf16(out[tile + 1], weights, {v[2], v[3]});
    }
  }

  static QUIRE_DEVICE void ShowCopies() {}
  static QUIRE_DEVICE void Begin() {}
  static QUIRE_DEVICE void End() {}
  template <int kLeft, int kPlace = 0, int kTiles>
  static QUIRE_DEVICE void Wait(float (&)[kTiles][4]) {}
};

// Where there is no wgmma, a warp's own products again.
struct GroupProducts {
  static QUIRE_DEVICE int KeysAt(int offset, int first_tile) {
    return kGroupMma ? offset / 16 : WarpProducts::KeysAt(offset, first_tile);
  }
  template <int kTiles>
  static QUIRE_DEVICE void AddScores(float (&s)[kTiles][4], const uint32_t (&query)[4], int keys, int step) {
    if constexpr (kGroupMma) {
      GroupMmaAsync<kTiles, false>(s, query, keys + step % 4 * 2 + step / 4 * (kPanelBytes / 16), 16,
                                   8 * kPanelRowBytes);
    } else {
      WarpProducts::AddScores(s, query, keys, step);
    }
  }
  static QUIRE_DEVICE int ValuesAt(int offset, int first_tile) {
    return kGroupMma ? offset / 16 : WarpProducts::ValuesAt(offset, first_tile);
  }
  template <int kTiles>
  static QUIRE_DEVICE void AddValues(float (&out)[kTiles][4], const uint32_t (&weights)[4], int values,
                                     int step) {
    if constexpr (kGroupMma) {
      GroupMmaAsync<kTiles, true>(out, weights, values + step * kPanelRowBytes, kPanelBytes,
                                  8 * kPanelRowBytes);
    } else {
      WarpProducts::AddValues(out, weights, values, step);
    }
  }

  static QUIRE_DEVICE void ShowCopies() { ShowCopiesToGroupMma(); }
  static QUIRE_DEVICE void Begin() { GroupFence(); }
  static QUIRE_DEVICE void End() { GroupCommit(); }
  template <int kLeft, int kPlace = 0, int kTiles>
  static QUIRE_DEVICE void Wait(float (&sums)[kTiles][4]) {
    GroupWait<kLeft, kPlace>(sums);
  }
};

}  // namespace quire::kernels::cuda
