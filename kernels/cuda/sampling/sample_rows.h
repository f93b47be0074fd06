// Turns rows of logits into tokens on the device: one block a row, any stream. The choice is that of
// kernels/sampling/sampler.h, bit by bit: the same exp, the same block sums in the same order, doubles added
// one after another, ties to the lowest id. Raw logits that aren't finite fail their row; of adjusted ones
// (adjust_rows.h) -inf is what may not be chosen.
//
// What always holds: top_k, top_p and min_p each keep a prefix of the order "heavier first, then lower id",
// so all that is out is described by one cut, and no weight is ever zeroed. The n-th of that order is found
// digit by digit with histograms. Rows don't know of one another. A greedy row that is not adjusted and has
// no logprobs is read once, any other of that kind once before it is weighed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/sampling/block_best.h"
#include "kernels/cuda/sampling/block_sums.h"
#include "kernels/cuda/sampling/fixed_exp.h"
#include "kernels/cuda/sampling/logprobs.h"
#include "kernels/cuda/sampling/sample_rule.h"

namespace quire::kernels::cuda {

struct SampleRows {
  struct Params {
    const float* logits;  // raw: [rows, vocabulary], rows logits_stride apart
    int64_t logits_stride;
    const SampleRule* rules;
    float* weights;       // [rows, vocabulary], 16-byte aligned: of adjusted rows these, else scratch
    int64_t stride;       // a multiple of 64, at least the vocabulary
    int* ids;             // as in the results
    SampledRow* results;  // null: nobody reads them, and no rule asks for logprobs
    int vocabulary;
  };
  static constexpr int kThreads = 1024, kMinBlocks = 1;
  static constexpr int kBlock = BlockSums<kThreads>::kBlock, kDigits = 1024, kSmallNucleus = 256;
  static constexpr int kMostIds = kDigits * kDigits;  // two digits of an id

  static int SharedBytes(int vocabulary) {
    return static_cast<int>(sizeof(Shared)) + (vocabulary + kBlock - 1) / kBlock * 4;
  }
  static QUIRE_DEVICE void Run(const Params& p) { SampleRows(p).Sample(); }

 private:
  // A place in the order. Weights lie in 0..1, where floats are ordered like their bits.
  struct Cut {
    uint32_t bits;  // of the lightest weight kept
    int id;         // the last one kept of that weight
  };
  struct Shared {
    BlockSums<kThreads>::Shared sums;
    BlockBest::Shared best;
    Logprobs<kThreads>::Shared logprobs;
    int histogram[kDigits];
    uint32_t nucleus_bits[kSmallNucleus], sorted_bits[kSmallNucleus];
    int nucleus_id[kSmallNucleus], sorted_id[kSmallNucleus];
    float chosen[kBlock];
    int digit, rank, at_digit, total, count;
    Cut cut;
  };

  QUIRE_DEVICE explicit SampleRows(const Params& params)
      : p(params),
        row(BlockIndex().x),
        thread(ThreadIndex()),
        lane(LaneIndex()),
        blocks((params.vocabulary + kBlock - 1) / kBlock),
        logits(params.logits + row * params.logits_stride),
        weights(params.weights + row * params.stride),
        shared(reinterpret_cast<Shared*>(SharedMemory())),
        sums{reinterpret_cast<float*>(SharedMemory() + sizeof(Shared)), &shared->sums, blocks, thread},
        best{&shared->best},
        cut{1, kNoId} {}  // all that weigh anything

  // visit(bits, id) of every weight; loads stand in flight together.
  template <typename Visit>
  QUIRE_DEVICE void ForEachWeight(const Visit& visit) const {
    constexpr int kAtOnce = 4;
    const int end = blocks * kBlock;
    for (int first = thread * 4; first < end; first += kAtOnce * kThreads * 4) {
      Word128 v[kAtOnce];
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        v[i] = Word128{{0, 0, 0, 0}};
        if (first + i * kThreads * 4 < end) v[i] = Load128(weights + first + i * kThreads * 4);
      }
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        QUIRE_UNROLL
        for (int j = 0; j < 4; ++j) visit(v[i].word[j], first + i * kThreads * 4 + j);
      }
    }
  }

  QUIRE_DEVICE bool Kept(uint32_t bits, int id) const {
    return bits > cut.bits || (bits == cut.bits && id <= cut.id);
  }
  QUIRE_DEVICE float KeptWeight(int id) const {
    const float weight = weights[id];
    return Kept(FloatToBits(weight), id) ? weight : 0.0f;
  }

  // Digit `pass` of a place in the order: the lower, the earlier.
  static QUIRE_DEVICE int Digit(uint32_t bits, int id, int pass) {
    if (pass < 3) return kDigits - 1 - static_cast<int>(bits >> (20 - 10 * pass) & (kDigits - 1));
    return id >> (10 * (4 - pass)) & (kDigits - 1);
  }

  // Finds the digit of the rank-th element (from 1) among those counted in the histogram. In shared: digit,
  // how many stand at it, and the rank among those.
  QUIRE_DEVICE void FindDigit(int rank) const {
    if (WarpIndex() == 0) {
      int before = 0;
      for (int first = 0; first < kDigits; first += kWarpLanes) {
        const int mine = shared->histogram[first + lane];
        int sum = mine;
        for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) sum = sum + ShuffleXor(sum, mask);
        const bool here = before < rank && before + sum >= rank;
        int ahead = before;
        for (int i = 0; here && i < kWarpLanes; ++i) {
          const int count = Shuffle(mine, i);
          if (lane == i && ahead < rank && ahead + count >= rank) {
            shared->digit = first + i;
            shared->at_digit = count;
            shared->rank = rank - ahead;
          }
          ahead = ahead + count;
        }
        before = before + sum;
      }
      if (lane == 0) shared->total = before;
    }
    SyncBlock();
  }

  // Digits first_pass .. 4 of the rank-th kept element whose earlier digits are those of `found`. False, and
  // nothing found, where fewer are kept.
  QUIRE_DEVICE bool Select(int rank, int first_pass, Cut& found) const {
    for (int pass = first_pass; pass < 5; ++pass) {
      for (int i = thread; i < kDigits; i += kThreads) shared->histogram[i] = 0;
      SyncBlock();
      const Cut earlier = found;
      ForEachWeight([this, pass, earlier](uint32_t bits, int id) {
        bool counts = Kept(bits, id);
        for (int i = 0; i < pass; ++i) {
          counts = counts && Digit(bits, id, i) == Digit(earlier.bits, earlier.id, i);
        }
        if (counts) AtomicAdd(&shared->histogram[Digit(bits, id, pass)], 1);
      });
      SyncBlock();
      FindDigit(rank);
      const int digit = shared->digit, at_digit = shared->at_digit, total = shared->total;
      const int next_rank = shared->rank;
      SyncBlock();
      if (total < rank) return false;
      rank = next_rank;
      if (pass == 0) found = {0, 0};
      if (pass < 3) found.bits |= static_cast<uint32_t>(kDigits - 1 - digit) << (20 - 10 * pass);
      if (pass == 3) found.id = 0;
      if (pass >= 3) found.id |= digit << (10 * (4 - pass));
      if (pass == 2 && at_digit == rank) {  // all of that weight
        found.id = kNoId;
        return true;
      }
    }
    return true;
  }

  QUIRE_DEVICE void FilterTopP(double top_p) {
    sums.Fill([this](int id) { return KeptWeight(id); });
    const double mass = top_p * sums.AddAll();
    Cut best = cut;
    const bool many = Select(kSmallNucleus, 0, best);
    if (!many) best = cut;
    const int count = GatherNucleus(best);
    if (thread == 0) {
      double sum = 0;
      int i = 0;
      do {
        sum = sum + static_cast<double>(BitsToFloat(shared->sorted_bits[i++]));
      } while (i < count && sum < mass);
      shared->count = sum >= mass ? i : 0;
      shared->cut = {shared->sorted_bits[i - 1], shared->sorted_id[i - 1]};
    }
    SyncBlock();
    const bool reached = shared->count > 0;
    const Cut nucleus = shared->cut;
    SyncBlock();
    if (reached) {
      cut = nucleus;
    } else if (count == kSmallNucleus) {
      cut = FindLargeNucleus(mass);
    }
  }

  // shared->sorted_*: all down to `best`, at most kSmallNucleus, in order. Returns how many.
  QUIRE_DEVICE int GatherNucleus(Cut best) {
    if (thread == 0) shared->count = 0;
    SyncBlock();
    ForEachWeight([this, best](uint32_t bits, int id) {
      if (!Kept(bits, id) || bits < best.bits || (bits == best.bits && id > best.id)) return;
      const int at = AtomicAdd(&shared->count, 1);
      if (at < kSmallNucleus) {
        shared->nucleus_bits[at] = bits;
        shared->nucleus_id[at] = id;
      }
    });
    SyncBlock();
    const int count = shared->count < kSmallNucleus ? shared->count : kSmallNucleus;
    if (thread < count) {
      const uint32_t bits = shared->nucleus_bits[thread];
      const int id = shared->nucleus_id[thread];
      int place = 0;
      for (int i = 0; i < count; ++i) {
        const uint32_t other = shared->nucleus_bits[i];
        place += other > bits || (other == bits && shared->nucleus_id[i] < id) ? 1 : 0;
      }
      shared->sorted_bits[place] = bits;
      shared->sorted_id[place] = id;
    }
    SyncBlock();
    return count;
  }

  // The sums of the weights that are at least `bound`.
  QUIRE_DEVICE void SumFrom(uint32_t bound) const {
    sums.Fill([this, bound](int id) {
      const float weight = KeptWeight(id);
      return FloatToBits(weight) >= bound ? weight : 0.0f;
    });
  }
  // Sums of doubles depend on their order; only near the mass does that matter. (Each of them falls as the
  // bound rises, so where a search ends does not depend on how it goes.)
  QUIRE_DEVICE bool Reaches(uint32_t bound, double mass) const {
    SumFrom(bound);
    const double nearly = sums.NearlyAddAll();
    if (nearly > mass * (1 + 1e-10)) return true;
    if (nearly < mass * (1 - 1e-10)) return false;
    return sums.AddAll() >= mass;
  }

  // The largest bound whose weights reach the mass, by halving; of those at the bound, the lowest ids that
  // do.
  QUIRE_DEVICE Cut FindLargeNucleus(double mass) const {
    uint32_t low = 0, high = FloatToBits(1.0f);
    while (low < high) {
      const uint32_t middle = low + (high - low + 1) / 2;
      if (Reaches(middle, mass)) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    SumFrom(low + 1);
    double sum = sums.AddAll();
    int count = 0;
    for (; sum < mass && count < p.vocabulary; ++count) sum = sum + static_cast<double>(BitsToFloat(low));
    Cut last{low, 0};
    if (count > 0 && !Select(count, 3, last)) last.id = kNoId;
    return last;
  }

  // The last token whose sum of weights before it is at most noise * the sum of all.
  QUIRE_DEVICE int Pick(double noise) const {
    sums.Fill([this](int id) { return KeptWeight(id); });
    const double target = noise * sums.AddAll();
    sums.AddUpTo(target);
    const int first = shared->sums.block * kBlock;
    if (thread < kBlock) shared->chosen[thread] = KeptWeight(first + thread);
    SyncBlock();
    int picked = 0;
    double sum = shared->sums.before;
    for (int i = 0; i < kBlock && sum <= target; ++i) {
      if (shared->chosen[i] == 0.0f) continue;
      picked = first + i;
      sum = sum + static_cast<double>(shared->chosen[i]);
    }
    return picked;
  }

  // The largest value and the lowest id that has it; infinity where one is or isn't a number, and, where all
  // have to be finite, where one is -infinity.
  template <bool kAllFinite>
  QUIRE_DEVICE Best TopOf(const float* values) const {
    Best top = {BitsToFloat(kMinusInfinityBits), kNoId};
    bool bad = false;
    QUIRE_UNROLL_8
    for (int id = thread; id < p.vocabulary; id += kThreads) {
      const float value = values[id];
      const uint32_t bits = FloatToBits(value);
      bad = bad ||
            ((bits & kPlusInfinityBits) == kPlusInfinityBits && (kAllFinite || bits != kMinusInfinityBits));
      if (value > top.value) top = {value, id};
    }
    if (bad) top.value = BitsToFloat(kPlusInfinityBits);
    return best.Of(top);
  }
  static QUIRE_DEVICE bool IsFinite(float value) {
    return (FloatToBits(value) & kPlusInfinityBits) != kPlusInfinityBits;
  }

  QUIRE_DEVICE void Sample() {
    const SampleRule& rule = p.rules[row];
    Best top = TopOf<true>(logits);
    int id = -1;
    const bool sampled = IsFinite(top.value);
    double log_total = 0;
    if (p.results != nullptr && thread == 0) p.results[row].top_count = 0;
    if (sampled && rule.logprobs != 0) log_total = TellLogprobs(rule, top.value);
    if (sampled && rule.adjusted != 0) top = TopOf<false>(weights);
    if (sampled && rule.scored >= 0) {
      id = rule.scored;
    } else if (sampled && IsFinite(top.value)) {
      id = rule.scale == 0 ? top.id : SampleWeighted(rule, top.value);
    }
    if (thread != 0) return;
    p.ids[row] = id;
    if (p.results == nullptr) return;
    p.results[row].id = id;
    p.results[row].logprob = id >= 0 && rule.logprobs != 0 ? Logprob(LogitOf(id), log_total) : 0.0f;
  }

  // One that is scored may lie behind those that are sampled.
  QUIRE_DEVICE float LogitOf(int id) const {
    return id < p.vocabulary ? logits[id] : BitsToFloat(kMinusInfinityBits);
  }

  // Of the likeliest ids; the id's own takes the sum that is returned.
  QUIRE_DEVICE double TellLogprobs(const SampleRule& rule, float top) const {
    const Logprobs<kThreads> logprobs = {logits, p.vocabulary, sums, best, &shared->logprobs};
    const double log_total = logprobs.LogTotal(top);
    if (rule.top_logprobs > 0) logprobs.FindTop(rule.top_logprobs, log_total, p.results + row);
    return log_total;
  }

  QUIRE_DEVICE int SampleWeighted(const SampleRule& rule, float top) {
    const float* const from = rule.adjusted != 0 ? weights : logits;
    constexpr int kAtOnce = 8;  // loads stand in flight together, though weights may be what is read
    const int end = blocks * kBlock;
    for (int first = thread; first < end; first += kAtOnce * kThreads) {
      float value[kAtOnce];
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const int id = first + i * kThreads;
        value[i] = id < p.vocabulary ? from[id] : BitsToFloat(kMinusInfinityBits);  // weighs nothing
      }
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const int id = first + i * kThreads;
        if (id < end) weights[id] = FixedExpOfNegative((value[i] - top) * rule.scale);
      }
    }
    SyncBlock();
    if (rule.top_k > 0 && rule.top_k < p.vocabulary) {
      Cut last = cut;
      if (Select(rule.top_k, 0, last)) cut = last;
    }
    if (rule.top_p < 1) FilterTopP(static_cast<double>(rule.top_p));
    if (rule.min_p > 0) {
      const uint32_t bits = FloatToBits(rule.min_p);
      if (bits > cut.bits) cut = {bits, kNoId};
    }
    return Pick(rule.noise);
  }

  const Params& p;
  const int row, thread, lane, blocks;
  const float* const logits;
  float* const weights;
  Shared* const shared;
  const BlockSums<kThreads> sums;
  const BlockBest best;
  Cut cut;
};

// Any number of rows, none too.
inline void SampleTokens(Stream& stream, int rows, const SampleRows::Params& params) {
  if (rows == 0) return;
  const bool aligned = reinterpret_cast<uintptr_t>(params.weights) % 16 == 0 && params.stride % 64 == 0;
  if (rows < 0 || params.vocabulary < 1 || params.vocabulary > SampleRows::kMostIds || !aligned ||
      params.stride < params.vocabulary || params.logits_stride < params.vocabulary) {
    return stream.Record(
        "sampling takes a vocabulary of 1 to 2^20, rows that hold it, and weights a multiple of 64 apart, "
        "aligned to 16 bytes");
  }
  Launch<SampleRows>(stream, {.x = rows}, SampleRows::SharedBytes(params.vocabulary), params);
}

}  // namespace quire::kernels::cuda
