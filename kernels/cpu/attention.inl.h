// Attention of up to 8 query rows of one KV head over the sequence's pages, with an online softmax over fixed
// key tiles from position 0. A row's bits depend on its own q and the pages alone: a key past its position
// gets the weight exactly 0, and a whole tile past it changes nothing (factor 1, sums + 0), so rows of
// different positions may share the walk. Included after simd_math.inl.h.
#pragma once

namespace quire::kernels::cpu {
namespace {

constexpr int64_t kTileBlocks = 12;
constexpr int64_t kTileKeys = kTileBlocks * kLanes;

struct AttentionState {
  alignas(64) uint16_t q[kMaxQueryRows][kMaxHeadDim];
  alignas(64) float scores[kMaxQueryRows][kTileKeys];
  alignas(64) uint16_t weights[kMaxQueryRows][kTileKeys];  // softmax, not yet divided by total
  alignas(64) float sum[kMaxQueryRows][kMaxHeadDim];       // of weighted values
  F32 total[kMaxQueryRows];                                // of weights, by lane
  alignas(64) float highest[kLanes];                       // score so far, by row
  alignas(64) float rescale[kLanes];                       // of earlier tiles, by row
  const uint16_t* blocks[kTileBlocks];                     // pages of this tile
};

// scores of kRows blocks of 16 keys for kColumns query rows.
template <int kRows, int kColumns>
void ScoreTile(AttentionState& s, int64_t block, int64_t column, int64_t pairs) {
  F32 acc[kColumns][kRows];
  const uint16_t* keys[kRows];
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) keys[r] = s.blocks[block + r];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) acc[c][r] = Zero();
  }
  const uint16_t* q = s.q[column];
  for (int64_t pair = 0; pair < pairs; ++pair) {
    Pairs k[kRows];
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) k[r] = LoadPairs(keys[r] + pair * 2 * kLanes);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const Pairs broadcast = BroadcastPair(q + c * kMaxHeadDim + 2 * pair);
#pragma GCC unroll 3
      for (int r = 0; r < kRows; ++r) acc[c][r] = DotPairs(acc[c][r], k[r], broadcast);
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) Store(s.scores[column + c] + (block + r) * kLanes, acc[c][r]);
  }
}

// Adds `blocks` blocks of weighted values into kRows * 16 dimensions from `dim` on.
template <int kRows, int kColumns>
void ValueTile(AttentionState& s, int64_t blocks, int64_t dim, int64_t column, int64_t key_size,
               int64_t padded_dim) {
  F32 acc[kColumns][kRows];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    const F32 rescale = Set1(s.rescale[column + c]);
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) acc[c][r] = Mul(Load(s.sum[column + c] + dim + r * kLanes), rescale);
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const uint16_t* values = s.blocks[block] + key_size + 2 * dim;
    const uint16_t* weights = s.weights[column] + block * kLanes;
    for (int64_t pair = 0; pair < kLanes / 2; ++pair) {
      Pairs v[kRows];
#pragma GCC unroll 3
      for (int r = 0; r < kRows; ++r) v[r] = LoadPairs(values + r * 2 * kLanes);
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        const Pairs broadcast = BroadcastPair(weights + c * kTileKeys + 2 * pair);
#pragma GCC unroll 3
        for (int r = 0; r < kRows; ++r) acc[c][r] = DotPairs(acc[c][r], v[r], broadcast);
      }
      values += 2 * padded_dim;
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) Store(s.sum[column + c] + dim + r * kLanes, acc[c][r]);
  }
}

// Calls tile.template Run<rows, columns>() with the run-time sizes as constants.
template <int kRows, int kColumns, typename Tile>
void WithSizes(int64_t rows, int64_t columns, const Tile& tile) {
  if (rows != kRows) {
    if constexpr (kRows > 1) WithSizes<kRows - 1, kColumns>(rows, columns, tile);
  } else if (columns != kColumns) {
    if constexpr (kColumns > 1) WithSizes<kRows, kColumns - 1>(rows, columns, tile);
  } else {
    tile.template Run<kRows, kColumns>();
  }
}

struct ScoreCall {
  AttentionState& s;
  int64_t block, column, pairs;
  template <int kRows, int kColumns>
  void Run() const {
    ScoreTile<kRows, kColumns>(s, block, column, pairs);
  }
};

struct ValueCall {
  AttentionState& s;
  int64_t blocks, dim, column, key_size, padded_dim;
  template <int kRows, int kColumns>
  void Run() const {
    ValueTile<kRows, kColumns>(s, blocks, dim, column, key_size, padded_dim);
  }
};

inline int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

void ComputeScores(const AttentionArgs& args, AttentionState& s, int64_t blocks) {
  for (int64_t column = 0; column < args.rows; column += kTileColumns) {
    const int64_t columns = Least(kTileColumns, args.rows - column);
    for (int64_t block = 0; block < blocks; block += kTileRows) {
      WithSizes<kTileRows, kTileColumns>(Least(kTileRows, blocks - block), columns,
                                         ScoreCall{s, block, column, args.head_dim / 2});
    }
  }
}

// scores -> weights, and moves highest, rescale and total on.
void ComputeWeights(const AttentionArgs& args, AttentionState& s, int64_t first_key, int64_t blocks) {
  const F32 scale = Set1(args.scale * kLog2E), masked = Set1(-__builtin_inff());
  const F32 before = Load(s.highest);
  for (int64_t row = 0; row < args.rows; ++row) {
    F32 highest = masked;
    for (int64_t block = 0; block < blocks; ++block) {
      float* at = s.scores[row] + block * kLanes;
      const F32 score =
          SelectFirst(args.keys[row] - first_key - block * kLanes, Mul(Load(at), scale), masked);
      Store(at, score);
      highest = Max(highest, score);
    }
    const float tile_highest = MaxLanes(highest);
    if (tile_highest > s.highest[row]) s.highest[row] = tile_highest;
  }
  const F32 rescale = Exp2(Sub(before, Load(s.highest)));
  Store(s.rescale, rescale);
  for (int64_t row = 0; row < args.rows; ++row) {
    const F32 highest = Set1(s.highest[row]);
    F32 total = Mul(s.total[row], Set1(s.rescale[row]));
    for (int64_t block = 0; block < blocks; ++block) {
      const __m256i weights = ToBf16(Exp2(Sub(Load(s.scores[row] + block * kLanes), highest)));
      _mm256_store_si256(reinterpret_cast<__m256i*>(s.weights[row] + block * kLanes), weights);
      total = Add(total, FromBf16(weights));  // of the rounded weights: they then sum to exactly 1
    }
    s.total[row] = total;
  }
}

void AddValues(const AttentionArgs& args, AttentionState& s, int64_t blocks) {
  const int64_t simd_rows = (args.head_dim + kLanes - 1) / kLanes;
  const int64_t parts = (simd_rows + kTileRows - 1) / kTileRows;
  for (int64_t column = 0; column < args.rows; column += kTileColumns) {
    const int64_t columns = Least(kTileColumns, args.rows - column);
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = simd_rows * part / parts, rows = simd_rows * (part + 1) / parts - first;
      WithSizes<kTileRows, kTileColumns>(
          rows, columns,
          ValueCall{s, blocks, first * kLanes, column, args.head_dim * kLanes, simd_rows * kLanes});
    }
  }
}

void StoreRows(const AttentionArgs& args, const AttentionState& s) {
  for (int64_t row = 0; row < args.rows; ++row) {
    const F32 inverse = Set1(1.0f / SumLanes(s.total[row]));
    for (int64_t dim = 0; dim < args.head_dim; dim += kLanes) {
      // Adding 0 makes a zero's sign independent of how many masked keys were walked.
      const F32 value = Add(Mul(Load(s.sum[row] + dim), inverse), Zero());
      StoreBf16First(args.out[row] + dim, args.head_dim - dim, value);
    }
  }
}

void Attention(const AttentionArgs& args) {
  AttentionState s;
  int64_t keys = 0;
  for (int64_t row = 0; row < args.rows; ++row) {
    __builtin_memcpy(s.q[row], args.q[row], args.head_dim * sizeof(uint16_t));
    for (int64_t dim = 0; dim < args.head_dim; dim += kLanes) Store(s.sum[row] + dim, Zero());
    s.total[row] = Zero();
    if (args.keys[row] > keys) keys = args.keys[row];
  }
  Store(s.highest, Set1(-__builtin_inff()));
  for (int64_t first = 0; first < keys; first += kTileKeys) {
    const int64_t blocks = Least(kTileBlocks, (keys - first + kLanes - 1) / kLanes);
    for (int64_t i = 0; i < blocks; ++i) {
      s.blocks[i] = args.pages + args.blocks[first / kLanes + i] * args.page_stride;
    }
    ComputeScores(args, s, blocks);
    ComputeWeights(args, s, first, blocks);
    AddValues(args, s, blocks);
  }
  StoreRows(args, s);
}

}  // namespace
}  // namespace quire::kernels::cpu
