// Attention at the end of a context of 131,072 in a pool of 3 GiB, whose keys are made on the device: where
// offsets in elements and in bytes no longer fit 31 bits. On a GPU alone.
#include <algorithm>
#include <numeric>

#include "kernels/cuda/testing/attention_world.h"
#include "kernels/cuda/testing/bench.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {
namespace {

constexpr int kWidth = kQwqHeads * kQwqDim;
constexpr int kLength = 131072, kPages = kLength / kPageKeys, kPoolBlocks = 49152, kTokens = 66;

class LongSequence {
 public:
  explicit LongSequence(Checker& checker)
      : stream_(checker.stream()),
        pool_(NewRandomBf16(stream_, kPoolBlocks * PageOffset(1, kQwqKvHeads, 0, kQwqDim), 11)),
        pages_(kPoolBlocks),
        q_(RandomBf16(size_t{kTokens} * kWidth, checker.NextSeed(), 1.5f)) {
    std::iota(pages_.begin(), pages_.end(), 0);
    std::shuffle(pages_.begin(), pages_.end(), std::mt19937(5));
    std::iter_swap(pages_.begin(), std::max_element(pages_.begin(), pages_.end()));  // the pool's last block
    pages_.resize(kPages);
  }
  ~LongSequence() { FreeDevice(pool_); }
  LongSequence(const LongSequence&) = delete;
  LongSequence& operator=(const LongSequence&) = delete;

  // The last `tokens` of the sequence.
  std::vector<uint16_t> Run(int tokens, int blocks) const {
    const AttentionSpan span{0, tokens, kLength - tokens, pages_};
    const AttentionPlan plan = PlanOrRecord(stream_, {&span, 1},
                                            {.group = kQwqHeads / kQwqKvHeads,
                                             .kv_heads = kQwqKvHeads,
                                             .wide_rows = AttentionWideKernel<128>::kRows,
                                             .narrow_blocks = blocks,
                                             .wide_blocks = blocks,
                                             .partial_rows = int64_t{1} << 30});
    const PlannedAttention planned(stream_, plan, kQwqDim);
    const Buffer<uint16_t> q(stream_, std::span(q_).last(size_t{kWidth} * tokens));
    const Buffer<uint16_t> out(stream_, q.size());
    RunAttention(stream_, planned.Params(q.data(), pool_, out.data(), kQwqHeads, kQwqKvHeads, kQwqDim),
                 planned.Work(), kQwqDim);
    return out.Download();
  }

  // Of the last token.
  ReferenceRow Reference(int head) const {
    const uint16_t* q = q_.data() + q_.size() - kWidth + head * kQwqDim;
    std::vector<uint16_t> kv(PageOffset(1, 1, 0, kQwqDim));
    std::vector<double> sums(kQwqDim), sizes(kQwqDim);
    double total = 0;
    for (const int32_t page : pages_) {
      CopyToHost(stream_, kv.data(),
                 pool_ + PageOffset(page, kQwqKvHeads, head / (kQwqHeads / kQwqKvHeads), kQwqDim),
                 kv.size() * 2);
      for (int key = 0; key < kPageKeys; ++key) {
        const uint16_t *k = kv.data() + key * kQwqDim, *v = k + kPageKeys * kQwqDim;
        double score = 0;
        for (int i = 0; i < kQwqDim; ++i)
          score += double{kernels::Bf16ToFloat(q[i])} * kernels::Bf16ToFloat(k[i]);
        const double weight = std::exp(score / std::sqrt(double{kQwqDim}) - 10);
        total += weight;
        for (int i = 0; i < kQwqDim; ++i) {
          sums[i] += weight * kernels::Bf16ToFloat(v[i]);
          sizes[i] += weight * std::abs(kernels::Bf16ToFloat(v[i]));
        }
      }
    }
    for (int i = 0; i < kQwqDim; ++i) sums[i] /= total, sizes[i] /= total;
    return {sums, sizes};
  }

 private:
  Stream& stream_;
  uint16_t* pool_;
  std::vector<int32_t> pages_;
  std::vector<uint16_t> q_;
};

}  // namespace

void CheckLongAttention(Checker& checker) {
  if (checker.small()) return;
  const LongSequence sequence(checker);
  const std::vector<uint16_t> cut = sequence.Run(1, 264);
  for (const int head : {0, kQwqHeads - 1}) {
    const ReferenceRow want = sequence.Reference(head);
    const std::vector<double> got = ToDouble(std::span(cut).subspan(size_t{kQwqDim} * head, kQwqDim));
    const std::string shape = "131072 of 3 GiB, head " + std::to_string(head);
    checker.Within("attention", shape, RelativeError(got, want.value), 8e-3);
    checker.Within("attention, worst element", shape, WorstError(got, want.value, want.size), 4.5e-3);
  }
  const auto same = [&](const std::string& how, const std::vector<uint16_t>& out) {
    checker.True("attention: same bits, " + how, "131072 of 3 GiB",
                 std::equal(cut.begin(), cut.end(), out.end() - kWidth), "a row's bits differ");
  };
  same("walked whole", sequence.Run(1, 1));
  same("in a chunk", sequence.Run(kTokens, 1));
  same("in a chunk that is cut", sequence.Run(kTokens, 132));
}

}  // namespace quire::kernels::cuda
