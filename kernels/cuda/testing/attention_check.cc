#include <algorithm>
#include <set>

#include "kernels/cuda/testing/attention_world.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {
namespace {

constexpr double kLimit = 8e-3;
// Of one element, by the sum of its terms' sizes: weights and the output are rounded to bf16, by 2^-9 each.
constexpr double kElementLimit = 4.5e-3;

std::string Named(const std::vector<WorldRows>& rows, const WorldCut& cut) {
  std::string name;
  for (const WorldRows& r : rows) {
    if (name.size() > 60) {
      name += "...";
      break;
    }
    name += std::to_string(r.tokens) + "@" + std::to_string(r.position) + " ";
  }
  return name + "blocks " + std::to_string(cut.narrow_blocks) + "/" + std::to_string(cut.wide_blocks);
}

// A few of a run's rows against fp64: the first, the last and some between of each sequence, and some heads.
struct Errors {
  double all = HUGE_VAL, worst = HUGE_VAL;
};
Errors ErrorsOf(AttentionWorld& world, const std::vector<WorldRows>& rows, const std::vector<uint16_t>& out) {
  const bool complete =
      std::none_of(out.begin(), out.end(), [](uint16_t x) { return std::isnan(kernels::Bf16ToFloat(x)); });
  if (!complete) return {};
  std::vector<double> got, want, size;
  int first = 0;
  for (const WorldRows& r : rows) {
    for (const int token : std::set<int>{0, r.tokens / 3, r.tokens * 2 / 3, r.tokens - 1}) {
      for (const int head : {0, world.query_heads() / 2, world.query_heads() - 1}) {
        const size_t from =
            static_cast<size_t>(first + token) * world.width() + size_t{1} * head * world.head_dim();
        const std::vector<double> ours = ToDouble(std::span(out).subspan(from, world.head_dim()));
        got.insert(got.end(), ours.begin(), ours.end());
        const ReferenceRow reference = world.Reference(r.sequence, r.position + token, head);
        want.insert(want.end(), reference.value.begin(), reference.value.end());
        size.insert(size.end(), reference.size.begin(), reference.size.end());
      }
    }
    first += r.tokens;
  }
  return {RelativeError(got, want), WorstError(got, want, size)};
}

void CheckBatch(Checker& checker, AttentionWorld& world, const std::vector<WorldRows>& rows,
                const WorldCut& cut) {
  const std::vector<uint16_t> out = world.Run(rows, cut);
  const Errors errors = ErrorsOf(world, rows, out);
  checker.Within("attention", Named(rows, cut), errors.all, kLimit);
  checker.Within("attention, worst element", Named(rows, cut), errors.worst, kElementLimit);
}

// A chunk's rows must have the bits that each of them gets alone, in smaller chunks, beside others, cut
// otherwise.
void CheckSameness(Checker& checker, AttentionWorld& world, const WorldRows& chunk, int other) {
  const auto width = static_cast<int64_t>(world.width());
  const std::vector<WorldRows> whole = {chunk};
  const std::vector<uint16_t> want = world.Run(whole, {});
  const WorldRows beside{other, 0, std::min(world.length(other), 9)};
  const auto tail = [&](const std::vector<uint16_t>& out) {
    return std::vector<uint16_t>(out.end() - static_cast<int64_t>(want.size()), out.end());
  };
  const auto same = [&](const std::string& how, const std::vector<uint16_t>& got,
                        const std::vector<uint16_t>& expected) {
    checker.True("attention: same bits, " + how, Named(whole, {}), got == expected, "a row's bits differ");
  };
  same("every split alone", world.Run(whole, {.narrow_blocks = 1 << 20, .wide_blocks = 1 << 20}), want);
  same("each warp's products alone", world.Run(whole, {.alone = true}), want);
  same("in a grid that is filled up", world.Run(whole, {.narrow_blocks = 9, .wide_blocks = 9, .filled = 3}),
       want);
  same("beside others", tail(world.Run({beside, chunk}, {.narrow_blocks = 5, .wide_blocks = 5})), want);
  std::vector<WorldRows> alone;  // a decode step for each row, in one batch
  for (int i = 0; i < chunk.tokens; ++i) alone.push_back({chunk.sequence, chunk.position + i, 1});
  same("as decode steps", world.Run(alone, {}), want);
  same("as decode steps, every split alone", world.Run(alone, {.narrow_blocks = 1 << 20}), want);
  std::vector<uint16_t> chunked;
  for (int i = 0; i < chunk.tokens;) {
    const int tokens = std::min(i % 2 == 0 ? 5 : 2, chunk.tokens - i);
    const std::vector<uint16_t> out = world.Run({{chunk.sequence, chunk.position + i, tokens}}, {});
    chunked.insert(chunked.end(), out.begin(), out.end());
    i += tokens;
  }
  same("in chunks", chunked, want);
  const std::vector<uint16_t> last(want.end() - width, want.end());
  same("alone", world.Run({{chunk.sequence, chunk.position + chunk.tokens - 1, 1}}, {}), last);
}

// The fold of many splits alone, of one token with two heads: more than a warp has lanes.
void CheckCombine(Checker& checker, int splits) {
  constexpr int kDim = 64, kHeads = 2;
  Stream& stream = checker.stream();
  const size_t rows = static_cast<size_t>(splits) * kHeads;
  const std::vector<float> values = RandomFloats(rows * kDim, checker.NextSeed());
  std::vector<float> state = RandomFloats(rows * 2, checker.NextSeed(), 2);
  for (size_t row = 0; row < rows; ++row) {
    state[row * 2] = state[row * 2] * 0.1f + static_cast<float>(row);  // each raises the highest score
    state[row * 2 + 1] = 1 + std::fabs(state[row * 2 + 1]);
  }
  const std::vector<CombineToken> tokens = {{0, 0, kHeads, splits}, {}};
  Buffer<float> value_buffer(stream, values.size()), state_buffer(stream, state.size());
  const Buffer<CombineToken> token(stream, tokens);
  const Buffer<uint16_t> out(stream, kHeads * kDim);
  stream.BeforeNextWait([&] {
    value_buffer.Upload(values);
    state_buffer.Upload(state);
  });
  using Combine = AttentionCombineKernel<kDim>;
  const Combine::Params params{
      value_buffer.data(), state_buffer.data(), token.data(), out.data(), 2, kHeads, kHeads, 1.0f};
  Launch<Combine>(stream, {.x = Combine::Blocks(params)}, 0, params, Order::kOverlapping);
  std::vector<double> want;
  for (int i = 0; i < kHeads * kDim; ++i) {
    double sum = 0, total = 0;
    for (size_t row = i / kDim; row < rows; row += kHeads) {
      const double weight = std::exp2(static_cast<double>(state[row * 2]));
      sum += weight * values[row * kDim + i % kDim];
      total += weight * state[row * 2 + 1];
    }
    want.push_back(sum / total);
  }
  checker.Within("attention combine", std::to_string(splits) + " splits",
                 RelativeError(ToDouble(out.Download()), want), 4e-3);
}

// Splits begin at 256, 512 ... 2048, 2560.
void CheckSmall(Checker& checker) {
  AttentionWorld world(checker.stream(), checker.NextSeed(), 5, 1, 128, {1, 17, 300, 2700});
  CheckBatch(checker, world, {{0, 0, 1}}, {});
  CheckBatch(checker, world, {{1, 0, 17}, {0, 0, 1}}, {});
  CheckBatch(checker, world, {{2, 299, 1}, {1, 15, 2}, {2, 255, 1}, {2, 63, 1}, {2, 298, 2}}, {});
  CheckBatch(checker, world, {{2, 299, 1}, {3, 2600, 1}, {2, 255, 1}, {2, 256, 1}, {3, 2048, 1}},
             {.narrow_blocks = 100});
  CheckBatch(checker, world, {{2, 249, 13}}, {.wide_blocks = 100});
  CheckSameness(checker, world, {2, 250, 9}, 1);
  for (const int splits : {1, 2, 32, 33, 70}) CheckCombine(checker, splits);
  AttentionWorld narrow_heads(checker.stream(), checker.NextSeed(), 14, 2, 64, {70, 300});
  CheckBatch(checker, narrow_heads, {{0, 0, 70}, {1, 299, 1}}, {});
  CheckBatch(checker, narrow_heads, {{1, 294, 6}}, {.narrow_blocks = 100, .wide_blocks = 100});
}

void CheckLarge(Checker& checker) {
  AttentionWorld world(checker.stream(), checker.NextSeed(), 40, 8, 128, {1, 16, 1025, 3000, 8192, 32769});
  const WorldCut spread{.narrow_blocks = 264, .wide_blocks = 132};
  CheckBatch(checker, world, {{2, 0, 1025}, {3, 1000, 1000}, {5, 32768, 1}, {4, 8191, 1}, {0, 0, 1}}, spread);
  CheckBatch(checker, world, {{4, 0, 8192}}, {});
  std::vector<WorldRows> decode;
  for (int i = 0; i < 31; ++i) decode.push_back({3, 2969 + i, 1});
  decode.push_back({5, 32768, 1});
  CheckBatch(checker, world, decode, spread);
  CheckSameness(checker, world, {3, 900, 300}, 2);
  CheckSameness(checker, world, {3, 2000, 100}, 2);
  CheckSameness(checker, world, {4, 8100, 92}, 1);
}

}  // namespace

void CheckAttention(Checker& checker) {
  CheckSmall(checker);
  if (!checker.small()) CheckLarge(checker);
}

}  // namespace quire::kernels::cuda
