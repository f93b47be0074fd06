// Attention's two products alone, of whole numbers, so that every sum is exact: which form of which product
// is wrong, if one is.
#include "kernels/cuda/attention_products.h"

#include "kernels/cuda/testing/data.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {
namespace {

constexpr int kRows = 64, kDim = 128;

// A block of four warps: [64][inner] times [inner][columns], the right side in K's or V's place.
template <typename Products, bool kValues>
struct ProductKernel {
  struct Params {
    const uint16_t* left;  // [64][kInner]
    const uint16_t* tile;  // [64 keys][128]
    float* out;            // [64][kColumns]
  };
  static constexpr int kThreads = 128, kMinBlocks = 1, kSharedBytes = 2 * kTileKeys * kDim * 2;
  static constexpr int kInner = kValues ? kTileKeys : kDim, kColumns = kValues ? kDim : kTileKeys;

  static QUIRE_DEVICE void Run(const Params& p) {
    constexpr int kOffset = kTileKeys * kDim * 2;  // not the first tile there
    for (int chunk = ThreadIndex(); chunk < kTileKeys * kDim / 8; chunk += kThreads) {
      const int key = chunk / (kDim / 8), in_row = chunk % (kDim / 8);
      CopyAsync16(SharedMemory() + kOffset + in_row / 8 * kPanelBytes + key * kPanelRowBytes +
                      ((in_row % 8) ^ key % 8) * 16,
                  p.tile + chunk * 8, true);
    }
    CopyAsyncCommit();
    CopyAsyncWait<0>();
    Products::ShowCopies();
    SyncBlock();
    float d[kColumns / 8][4] = {};
    uint32_t left[kInner / 16][4];
    const int row = WarpIndex() * 16 + LaneIndex() / 4, column = LaneIndex() % 4 * 2;
    QUIRE_UNROLL
    for (int step = 0; step < kInner / 16; ++step) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) {
        left[step][i] = *reinterpret_cast<const uint32_t*>(p.left + (row + i % 2 * 8) * kInner + step * 16 +
                                                           i / 2 * 8 + column);
      }
    }
    const int at = kValues ? Products::ValuesAt(kOffset, 0) : Products::KeysAt(kOffset, 0);
    Products::Begin();
    QUIRE_UNROLL
    for (int step = 0; step < kInner / 16; ++step) {
      if constexpr (kValues) {
        Products::AddValues(d, left[step], at, step);
      } else {
        Products::AddScores(d, left[step], at, step);
      }
    }
    Products::End();
    Products::template Wait<0>(d);
    QUIRE_UNROLL
    for (int tile = 0; tile < kColumns / 8; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i)
        p.out[(row + i / 2 * 8) * kColumns + tile * 8 + column + i % 2] = d[tile][i];
    }
  }
};

std::vector<float> WholeNumbers(size_t count, uint64_t seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(static_cast<int>(random() % 15) - 7);
  return out;
}

template <typename Products, bool kValues>
void CheckProduct(Checker& checker, const std::string& form) {
  using Kernel = ProductKernel<Products, kValues>;
  constexpr int kInner = Kernel::kInner, kColumns = Kernel::kColumns;
  const std::vector<float> left = WholeNumbers(size_t{kRows} * kInner, checker.NextSeed());
  const std::vector<float> tile = WholeNumbers(size_t{kTileKeys} * kDim, checker.NextSeed());
  Stream& stream = checker.stream();
  const Buffer<uint16_t> left_buffer(stream, ToBf16(left)), tile_buffer(stream, ToBf16(tile));
  const Buffer<float> out(stream, size_t{kRows} * kColumns);
  Launch<Kernel>(stream, {}, Kernel::kSharedBytes, {left_buffer.data(), tile_buffer.data(), out.data()});
  const std::vector<float> got = out.Download();
  int wrong = 0;
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      float want = 0;
      for (int i = 0; i < kInner; ++i) {
        want += left[row * kInner + i] * (kValues ? tile[i * kDim + column] : tile[column * kDim + i]);
      }
      if (!(got[row * kColumns + column] == want)) ++wrong;
    }
  }
  checker.True(kValues ? "attention: weights V" : "attention: q K", form, wrong == 0,
               std::to_string(wrong) + " of " + std::to_string(got.size()) + " sums differ, the first is " +
                   std::to_string(got[0]));
}

}  // namespace

void CheckAttentionProducts(Checker& checker) {
  CheckProduct<WarpProducts, false>(checker, "a warp alone");
  CheckProduct<WarpProducts, true>(checker, "a warp alone");
  CheckProduct<GroupProducts, false>(checker, "four warps");
  CheckProduct<GroupProducts, true>(checker, "four warps");
}

}  // namespace quire::kernels::cuda
