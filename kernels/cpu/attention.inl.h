// Attention of up to 8 query rows of one KV head over the sequence's pages, with an online softmax over fixed
// key tiles from position 0. A row's bits depend on its own q and the pages alone: a key past its position
// gets the weight exactly 0, and a whole tile past it changes nothing (factor 1, sums + 0), so rows of
// different positions may share the walk. Included after simd_math.inl.h.
#pragma once

namespace quire::kernels::cpu {
namespace {

constexpr int64_t kTileBlocks = 12;
constexpr int64_t kTileKeys = kTileBlocks * kLanes;
static_assert(kTileBlocks % 2 == 0);

struct AttentionState {
  alignas(64) uint16_t q[kMaxQueryRows][kMaxHeadDim];
  alignas(64) float scores[kMaxQueryRows][kTileKeys];
  alignas(64) uint16_t weights[kMaxQueryRows][kTileKeys];  // softmax, not yet divided by total
  alignas(64) float sum[kMaxQueryRows][kMaxHeadDim];       // of weighted values
  F32 total[kMaxQueryRows];                                // of weights, by lane
  alignas(64) float highest[kLanes];                       // score so far, by row
  alignas(64) float rescale[kLanes];                       // of earlier tiles, by row
  const uint16_t* pages[kTileBlocks];                      // of this tile
  const uint16_t* ahead[kTileBlocks];                      // of the next one
};

// Scores of kRows blocks of 16 keys for kColumns query rows. Meanwhile these blocks' V and the next blocks'
// K, whose pages lie anywhere, are fetched; a page is as long in V as in K (or little longer).
template <int kRows, int kColumns>
void ScoreTile(AttentionState& s, int64_t block, int64_t column, int64_t pairs) {
  F32 acc[kColumns][kRows];
  const uint16_t *keys[kRows], *ahead[kRows];
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) {
    keys[r] = s.pages[block + r];
    ahead[r] = s.ahead[block + r];
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) acc[c][r] = Zero();
  }
  const uint16_t* q = s.q[column];
  for (int64_t pair = 0; pair < pairs; ++pair) {
    Pairs k[kRows];
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) {
      k[r] = LoadPairs(keys[r] + pair * 2 * kLanes);
      PrefetchToL2(ahead[r] + pair * 2 * kLanes);
    }
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
    const uint16_t* values = s.pages[block] + key_size + 2 * dim;
    const uint16_t* ahead = s.ahead[block] + key_size + 2 * dim;
    const uint16_t* weights = s.weights[column] + block * kLanes;
    for (int64_t pair = 0; pair < kLanes / 2; ++pair) {
      Pairs v[kRows];
#pragma GCC unroll 3
      for (int r = 0; r < kRows; ++r) {
        v[r] = LoadPairs(values + r * 2 * kLanes);
        PrefetchToL2(ahead + r * 2 * kLanes);
      }
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        const Pairs broadcast = BroadcastPair(weights + c * kTileKeys + 2 * pair);
#pragma GCC unroll 3
        for (int r = 0; r < kRows; ++r) acc[c][r] = DotPairs(acc[c][r], v[r], broadcast);
      }
      values += 2 * padded_dim;
      ahead += 2 * padded_dim;
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

// The highest score of a row in this tile; with kMasked, keys the row must not see become -inf first.
template <bool kMasked>
float HighestScore(float* scores, int64_t visible, int64_t blocks) {
  F32 highest = Set1(-__builtin_inff());
  for (int64_t block = 0; block < blocks; ++block) {
    F32 score = Load(scores + block * kLanes);
    if constexpr (kMasked) {
      score = SelectFirst(visible - block * kLanes, score, Set1(-__builtin_inff()));
      Store(scores + block * kLanes, score);
    }
    highest = Max(highest, score);
  }
  return MaxLanes(highest);
}

// scores -> weights, and moves highest, rescale and total on.
void ComputeWeights(const AttentionArgs& args, AttentionState& s, int64_t first_key, int64_t blocks) {
  const float scale = args.scale * kLog2E;
  const F32 before = Load(s.highest);
  for (int64_t row = 0; row < args.rows; ++row) {
    const int64_t visible = args.keys[row] - first_key;
    const float highest =
        scale * (visible < blocks * kLanes ? HighestScore<true>(s.scores[row], visible, blocks)
                                           : HighestScore<false>(s.scores[row], visible, blocks));
    if (highest > s.highest[row]) s.highest[row] = highest;
  }
  Store(s.rescale, Exp2(Sub(before, Load(s.highest))));
  uint16_t one_bits[2 * kLanes];
  for (uint16_t& bits : one_bits) bits = 0x3f80;
  const Pairs ones = LoadPairs(one_bits);
  for (int64_t row = 0; row < args.rows; ++row) {
    const F32 below = Set1(-s.highest[row]);
    uint16_t* weights = s.weights[row];
    for (int64_t block = 0; block < blocks; ++block) {
      StoreBf16(weights + block * kLanes,
                Exp2(Fma(Load(s.scores[row] + block * kLanes), Set1(scale), below)));
    }
    if (blocks % 2 != 0) StoreBf16(weights + blocks * kLanes, Zero());
    // The rounded weights are summed, so that they come to exactly 1 after the division.
    F32 total = Mul(s.total[row], Set1(s.rescale[row]));
    for (int64_t block = 0; block < blocks; block += 2) {
      total = DotPairs(total, LoadPairs(weights + block * kLanes), ones);
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

const uint16_t* PageAt(const KvWalk& walk, int64_t index) {
  return walk.pages + walk.blocks[Least(index, walk.count - 1)] * walk.page_stride;
}

// The pages of the tile that starts at block `first`, and of what comes after it: the next tile or the next
// walk.
void FindPages(const AttentionArgs& args, AttentionState& s, int64_t first, bool last_tile) {
  for (int64_t i = 0; i < kTileBlocks; ++i) {
    s.pages[i] = PageAt(args.walk, first + i);
    s.ahead[i] = last_tile ? PageAt(args.next, i) : PageAt(args.walk, first + kTileBlocks + i);
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
    FindPages(args, s, first / kLanes, keys - first <= kTileKeys);
    ComputeScores(args, s, blocks);
    ComputeWeights(args, s, first, blocks);
    AddValues(args, s, blocks);
  }
  StoreRows(args, s);
}

}  // namespace
}  // namespace quire::kernels::cpu
