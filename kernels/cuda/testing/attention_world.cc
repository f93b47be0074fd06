#include "kernels/cuda/testing/attention_world.h"

namespace quire::kernels::cuda {
namespace {

int PagesOf(int length) { return (length + kPageKeys - 1) / kPageKeys; }

size_t PoolElements(const std::vector<int>& lengths, int kv_heads, int head_dim) {
  int blocks = 3;  // that nobody has
  for (const int length : lengths) blocks += PagesOf(length);
  return PageOffset(blocks, kv_heads, 0, head_dim);
}

}  // namespace

void RunAttention(Stream& stream, const AttentionParams& params, const AttentionWork& work, int head_dim,
                  bool alone) {
  if (head_dim == 128 && alone) {
    return Attention<128, AttentionWideKernel<128, WarpProducts>>(stream, params, work);
  }
  if (head_dim == 128) return Attention<128>(stream, params, work);
  if (head_dim == 64) return Attention<64>(stream, params, work);
  stream.Record("no attention kernel for this head_dim");
}

AttentionPlan PlanOrRecord(Stream& stream, std::span<const AttentionSpan> spans,
                           const AttentionLimits& limits) {
  absl::StatusOr<AttentionPlan> plan = PlanAttention(spans, limits);
  if (plan.ok()) return *std::move(plan);
  stream.Record(std::string(plan.status().message()));
  return {};
}

AttentionWorld::AttentionWorld(Stream& stream, uint64_t seed, int query_heads, int kv_heads, int head_dim,
                               std::vector<int> lengths)
    : stream_(stream),
      query_heads_(query_heads),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      lengths_(std::move(lengths)),
      kv_buffer_(stream, PoolElements(lengths_, kv_heads, head_dim)) {
  std::vector<int32_t> blocks;
  for (size_t i = 0; i * PageOffset(1, kv_heads, 0, head_dim) < kv_buffer_.size(); ++i) {
    blocks.push_back(static_cast<int32_t>(i));
  }
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(static_cast<uint32_t>(seed)));
  kv_.assign(kv_buffer_.size(), 0xffff);  // NaN where no position is
  for (const int length : lengths_) {
    q_.push_back(RandomBf16(static_cast<size_t>(length) * width(), ++seed, 1.5f));
    pages_.emplace_back(blocks.end() - PagesOf(length), blocks.end());
    blocks.resize(blocks.size() - PagesOf(length));
    const size_t row = static_cast<size_t>(kv_heads) * 2 * head_dim;
    const std::vector<uint16_t> values = RandomBf16(length * row, ++seed);
    for (int position = 0; position < length; ++position) {
      for (int head = 0; head < 2 * kv_heads; ++head) {  // K and V of each
        const int64_t at = PageOffset(pages_.back()[position / kPageKeys], kv_heads, head / 2, head_dim) +
                           (position % kPageKeys + head % 2 * kPageKeys) * head_dim;
        std::copy_n(values.begin() + position * row + head * head_dim, head_dim, kv_.begin() + at);
      }
    }
  }
  kv_buffer_.Upload(kv_);
}

std::vector<uint16_t> AttentionWorld::Run(const std::vector<WorldRows>& rows, const WorldCut& cut) {
  std::vector<AttentionSpan> spans;
  std::vector<uint16_t> q;
  int tokens = 0;
  for (const WorldRows& r : rows) {
    spans.push_back(
        {tokens, r.tokens, r.position, std::span(pages_[r.sequence]).first(PagesOf(r.position + r.tokens))});
    tokens += r.tokens;
    const auto from = q_[r.sequence].begin() + static_cast<int64_t>(r.position) * width();
    q.insert(q.end(), from, from + static_cast<int64_t>(r.tokens) * width());
  }
  AttentionPlan plan = PlanOrRecord(stream_, spans,
                                    {.group = query_heads_ / kv_heads_,
                                     .kv_heads = kv_heads_,
                                     .wide_rows = AttentionWideKernel<128>::kRows,
                                     .narrow_blocks = cut.narrow_blocks,
                                     .wide_blocks = cut.wide_blocks,
                                     .partial_rows = int64_t{1} << 30});
  if (cut.filled > 0) {
    AttentionCounts counts = plan.counts();
    for (int* count : {&counts.narrow, &counts.wide, &counts.combine}) *count += cut.filled;
    stream_.Record(std::string(FillUp(plan, counts).message()));
  }
  const PlannedAttention planned(stream_, plan, head_dim_);
  constexpr uint16_t kMissing = 0xffff, kUntouched = 0x1234;
  std::vector<uint16_t> rows_out(q.size(), kMissing);
  rows_out.resize(q.size() + width(), kUntouched);  // a row for nobody
  Buffer<uint16_t> q_buffer(stream_, q.size());
  const Buffer<uint16_t> out(stream_, rows_out);
  if constexpr (kEmulated) kv_buffer_.Upload(std::vector<uint16_t>(kv_.size(), kMissing));
  stream_.BeforeNextWait([&] {
    q_buffer.Upload(q);
    if constexpr (kEmulated) kv_buffer_.Upload(kv_);
  });
  const AttentionParams params =
      planned.Params(q_buffer.data(), kv_buffer_.data(), out.data(), query_heads_, kv_heads_, head_dim_);
  RunAttention(stream_, params, planned.Work(), head_dim_, cut.alone);
  rows_out = out.Download();
  if (std::any_of(rows_out.end() - width(), rows_out.end(), [](uint16_t x) { return x != kUntouched; })) {
    stream_.Record("an item that only fills a grid up wrote something");
  }
  rows_out.resize(q.size());
  return rows_out;
}

const uint16_t* AttentionWorld::KeyAt(int sequence, int position, int kv_head) const {
  return kv_.data() + PageOffset(pages_[sequence][position / kPageKeys], kv_heads_, kv_head, head_dim_) +
         static_cast<int64_t>(position % kPageKeys) * head_dim_;
}

ReferenceRow AttentionWorld::Reference(int sequence, int position, int query_head) const {
  const int kv_head = query_head / (query_heads_ / kv_heads_);
  const uint16_t* q = q_[sequence].data() + static_cast<int64_t>(position) * width() + query_head * head_dim_;
  ReferenceRow row{std::vector<double>(head_dim_), std::vector<double>(head_dim_)};
  std::vector<double> scores;
  double highest = -HUGE_VAL, sum = 0;
  for (int key = 0; key <= position; ++key) {
    const uint16_t* k = KeyAt(sequence, key, kv_head);
    double score = 0;
    for (int i = 0; i < head_dim_; ++i)
      score += double{kernels::Bf16ToFloat(q[i])} * kernels::Bf16ToFloat(k[i]);
    scores.push_back(score / std::sqrt(static_cast<double>(head_dim_)));
    highest = std::max(highest, scores.back());
  }
  for (int key = 0; key <= position; ++key) {
    const uint16_t* v = KeyAt(sequence, key, kv_head) + kPageKeys * head_dim_;
    const double weight = std::exp(scores[key] - highest);
    sum += weight;
    for (int i = 0; i < head_dim_; ++i) {
      const double term = weight * kernels::Bf16ToFloat(v[i]);
      row.value[i] += term;
      row.size[i] += std::abs(term);
    }
  }
  for (int i = 0; i < head_dim_; ++i) {
    row.value[i] /= sum;
    row.size[i] /= sum;
  }
  return row;
}

}  // namespace quire::kernels::cuda
