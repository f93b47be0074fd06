// Matmul of one thread's slice: the tree over a panel's leaves, and what is done with the sums. Included
// after dots.inl.h, tiles.inl.h or int8_dots.inl.h, which say what they are given (PanelArgs, Packed), how a
// leaf's products are computed (LeafProduct) and where they stand (TileRows): how many rows they take, and
// which one each column (token) has.
#pragma once

namespace quire::kernels::cpu {
namespace {

template <int kPanel>
void AddTile(int64_t tile_rows, float* to, const float* tile) {
  for (int64_t c = 0; c < tile_rows; ++c) {
    for (int r = 0; r < kPanel; ++r) {
      const int64_t at = c * kPanelRows + r * kLanes;
      Store(to + at, Add(Load(to + at), Load(tile + at)));
    }
  }
}

// tile [rows][48] = x * panel^T. Returns where the next panel starts. Leaves are added up as a binary counter
// carries: two sums of equally many leaves become one.
template <int kPanel>
const Packed* PanelProduct(const PanelArgs& args, const Packed* weights, float* tile) {
  float* next = tile;
  for (int64_t leaf = 0; leaf < args.leaves; ++leaf) {
    weights = LeafProduct<kPanel>(args, leaf, weights, next);
    next += kTileFloats;
    for (int64_t count = leaf + 1; count % 2 == 0; count /= 2) {
      next -= kTileFloats;
      AddTile<kPanel>(TileRows::Count(args.m), next - kTileFloats, next);
    }
  }
  return weights;
}

const Packed* AnyPanelProduct(const PanelArgs& args, int64_t rows, const Packed* weights, float* tile) {
  if (rows > 2 * kLanes) return PanelProduct<3>(args, weights, tile);
  if (rows > kLanes) return PanelProduct<2>(args, weights, tile);
  return PanelProduct<1>(args, weights, tile);
}

inline int64_t PanelRowsAt(const PanelArgs& args, int64_t row) {
  return args.rows - row < kPanelRows ? args.rows - row : kPanelRows;
}

void Matmul(const PanelArgs& args) {
  const TileRows tile_rows(args.m);
  const Packed* weights = args.weights;
  for (int64_t row = 0; row < args.rows; row += kPanelRows) {
    const int64_t rows = PanelRowsAt(args, row);
    weights = AnyPanelProduct(args, rows, weights, args.tiles);
    for (int64_t m = 0; m < args.m; ++m) {
      float* out = static_cast<float*>(args.out) + m * args.out_stride + row;
      for (int64_t i = 0; i < rows; i += kLanes) {
        F32 value = Load(args.tiles + tile_rows.Of(m) * kPanelRows + i);
        if (args.bias != nullptr) value = Add(value, LoadFirst(args.bias + row + i, rows - i));
        StoreFirst(out + i, rows - i, value);
      }
    }
  }
}

// Gate and up panels alternate.
void MatmulSiluMul(const PanelArgs& args) {
  const TileRows tile_rows(args.m);
  const Packed* weights = args.weights;
  float* gate = args.tiles;
  float* up = args.tiles + kTileFloats;
  for (int64_t row = 0; row < args.rows; row += kPanelRows) {
    const int64_t rows = PanelRowsAt(args, row);
    weights = AnyPanelProduct(args, rows, weights, gate);
    weights = AnyPanelProduct(args, rows, weights, up);
    for (int64_t m = 0; m < args.m; ++m) {
      uint16_t* out = static_cast<uint16_t*>(args.out) + m * args.out_stride + row;
      for (int64_t i = 0; i < rows; i += kLanes) {
        const int64_t at = tile_rows.Of(m) * kPanelRows + i;
        StoreBf16First(out + i, rows - i, Mul(Silu(Load(gate + at)), Load(up + at)));
      }
    }
  }
}

}  // namespace
}  // namespace quire::kernels::cpu
