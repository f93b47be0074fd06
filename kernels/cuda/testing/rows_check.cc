#include <algorithm>
#include <cmath>

#include "kernels/cuda/rows.h"
#include "kernels/cuda/sampling/take_sampled.h"
#include "kernels/cuda/testing/data.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {
namespace {

std::string Shape(int tokens, int width) { return std::to_string(tokens) + "x" + std::to_string(width); }

void CheckEmbed(Checker& checker, int tokens, int hidden) {
  const int rows = 37, first_row = 100;
  const std::vector<uint16_t> table = RandomBf16(static_cast<size_t>(rows) * hidden, checker.NextSeed());
  std::vector<int32_t> ids;
  for (int i = 0; i < tokens; ++i)
    ids.push_back(first_row - 1 + i * 7 % (rows + 2));  // one before, one behind
  const Buffer<uint16_t> table_buffer(checker.stream(), table);
  const Buffer<int32_t> id_buffer(checker.stream(), ids);
  const Buffer<float> out(checker.stream(), static_cast<size_t>(tokens) * hidden);
  Embed(checker.stream(), tokens,
        {table_buffer.data(), id_buffer.data(), first_row, rows, hidden, out.data()});
  std::vector<float> want;
  for (const int32_t id : ids) {
    const int row = id - first_row;
    for (int i = 0; i < hidden; ++i) {
      want.push_back(
          row >= 0 && row < rows ? kernels::Bf16ToFloat(table[static_cast<size_t>(row) * hidden + i]) : 0);
    }
  }
  checker.True("embed", Shape(tokens, hidden), out.Download() == want, "an element differs");
}

// The residual as the kernel must leave it: one fp32 addition, to the bit.
template <typename Delta>
void CheckNorm(Checker& checker, int tokens, int hidden, bool with_delta, const char* name) {
  const size_t size = static_cast<size_t>(tokens) * hidden;
  const std::vector<float> x = RandomFloats(size, checker.NextSeed(), 3);
  const std::vector<uint16_t> delta16 = RandomBf16(size, checker.NextSeed(), 2);
  std::vector<Delta> delta;
  std::vector<float> sum = x;
  for (size_t i = 0; i < size; ++i) {
    const float value = kernels::Bf16ToFloat(delta16[i]);
    if constexpr (sizeof(Delta) == 2) {
      delta.push_back(delta16[i]);
    } else {
      delta.push_back(value);
    }
    if (with_delta) sum[i] += value;
  }
  const std::vector<float> weight = RandomFloats(hidden, checker.NextSeed(), 0.1f, 1);
  const Buffer<float> x_buffer(checker.stream(), x), weight_buffer(checker.stream(), weight);
  const Buffer<Delta> delta_buffer(checker.stream(), delta);
  const Buffer<uint16_t> out(checker.stream(), size);
  AddRmsNorm<Delta>(checker.stream(), tokens,
                    {x_buffer.data(), with_delta ? delta_buffer.data() : nullptr, weight_buffer.data(),
                     out.data(), hidden, 1e-5f});
  std::vector<double> want;
  for (int token = 0; token < tokens; ++token) {
    const float* row = sum.data() + static_cast<size_t>(token) * hidden;
    double squares = 0;
    for (int i = 0; i < hidden; ++i) squares += static_cast<double>(row[i]) * row[i];
    for (int i = 0; i < hidden; ++i) want.push_back(row[i] / std::sqrt(squares / hidden + 1e-5) * weight[i]);
  }
  checker.Within(name, Shape(tokens, hidden), RelativeError(ToDouble(out.Download()), want), 4e-3);
  checker.True(std::string(name) + ": residual", Shape(tokens, hidden), x_buffer.Download() == sum,
               "an element differs");
}

template <typename In>
void CheckSilu(Checker& checker, int tokens, int ffn, const char* name) {
  const size_t size = static_cast<size_t>(tokens) * ffn;
  const std::vector<uint16_t> in16 = RandomBf16(size * 2, checker.NextSeed(), 4);
  std::vector<In> in;
  for (const uint16_t bits : in16) {
    if constexpr (sizeof(In) == 2) {
      in.push_back(bits);
    } else {
      in.push_back(kernels::Bf16ToFloat(bits));
    }
  }
  const Buffer<In> buffer(checker.stream(), in);
  const Buffer<uint16_t> out(checker.stream(), size);
  SiluMul<In>(checker.stream(), tokens, {buffer.data(), out.data(), ffn});
  std::vector<double> want;
  for (int token = 0; token < tokens; ++token) {
    for (int i = 0; i < ffn; ++i) {
      const size_t at = static_cast<size_t>(token) * 2 * ffn + i;
      const double gate = kernels::Bf16ToFloat(in16[at]), up = kernels::Bf16ToFloat(in16[at + ffn]);
      want.push_back(gate / (1 + std::exp(-gate)) * up);
    }
  }
  checker.Within(name, Shape(tokens, ffn), RelativeError(ToDouble(out.Download()), want), 4e-3);
}

void CheckGatherAndBias(Checker& checker, int width) {
  const int tokens = 7, stride = width + 3;
  const std::vector<float> x = RandomFloats(static_cast<size_t>(tokens) * width, checker.NextSeed());
  const std::vector<int32_t> rows = {0, 3, 3, 6};
  const Buffer<float> x_buffer(checker.stream(), x), out(checker.stream(), rows.size() * width);
  const Buffer<int32_t> row_buffer(checker.stream(), rows);
  GatherRows(checker.stream(), static_cast<int>(rows.size()),
             {reinterpret_cast<const Word128*>(x_buffer.data()), row_buffer.data(),
              reinterpret_cast<Word128*>(out.data()), width / 4});
  std::vector<float> want;
  for (const int32_t row : rows) want.insert(want.end(), &x[row * width], &x[row * width] + width);
  checker.True("gather_rows", Shape(tokens, width), out.Download() == want, "an element differs");

  const std::vector<float> bias = RandomFloats(width, checker.NextSeed());
  std::vector<float> y = RandomFloats(static_cast<size_t>(tokens) * stride, checker.NextSeed());
  const Buffer<float> y_buffer(checker.stream(), y), bias_buffer(checker.stream(), bias);
  AddBias(checker.stream(), tokens, {y_buffer.data(), bias_buffer.data(), width, stride});
  for (int i = 0; i < tokens * stride; ++i) {
    if (i % stride < width) y[i] += bias[i % stride];
  }
  checker.True("add_bias", Shape(tokens, width), y_buffer.Download() == y, "an element differs");
}

// Some of the ids come from the step before, of whose rows some failed and some are taken twice.
void CheckTakeSampled(Checker& checker, int tokens, int taken) {
  std::vector<int32_t> ids, sampled;
  for (int i = 0; i < tokens; ++i) ids.push_back(-2 - i);
  for (int i = 0; i < 40; ++i) sampled.push_back(i % 7 == 3 ? -1 : 1000 + i);
  std::vector<SampledPlace> places;
  for (int i = 0; i < taken; ++i) places.push_back({i * tokens / taken, i * 11 % 40});
  std::vector<int32_t> want = ids;
  for (const auto& [row, from] : places) want[row] = std::max(sampled[from], 0);
  const Buffer<int32_t> id_buffer(checker.stream(), ids), sampled_buffer(checker.stream(), sampled);
  const Buffer<SampledPlace> place_buffer(checker.stream(), places);
  TakeSampled(checker.stream(), {sampled_buffer.data(), place_buffer.data(), id_buffer.data(), taken});
  checker.True("take_sampled", Shape(tokens, taken), id_buffer.Download() == want, "an id differs");
}

}  // namespace

void CheckRows(Checker& checker) {
  std::vector<std::pair<int, int>> shapes = {{1, 8}, {3, 640}, {5, 3456}};
  if (!checker.small()) shapes.insert(shapes.end(), {{1, 5120}, {17, 5120}, {1000, 5120}, {33, 10240}});
  for (const auto& [tokens, width] : shapes) {
    CheckEmbed(checker, tokens, width);
    CheckNorm<float>(checker, tokens, width, true, "add_rms_norm fp32");
    CheckNorm<uint16_t>(checker, tokens, width, true, "add_rms_norm bf16");
    CheckNorm<uint16_t>(checker, tokens, width, false, "rms_norm");
    CheckSilu<float>(checker, tokens, width, "silu_mul fp32");
    CheckSilu<uint16_t>(checker, tokens, width, "silu_mul bf16");
  }
  for (const int width : {8, 1280}) CheckGatherAndBias(checker, width);
  for (const auto& [tokens, taken] : {std::pair{1, 1}, {40, 17}, {300, 129}, {700, 513}}) {
    CheckTakeSampled(checker, tokens, taken);
  }
}

}  // namespace quire::kernels::cuda
