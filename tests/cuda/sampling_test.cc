// The device's sampler (on fibers) chooses what the worker's does: same logits, rules and seed, same token.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/backend/device_sampler.h"
#include "kernels/cuda/sampling/fixed_log.h"
#include "kernels/sampling/fixed_math.h"
#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/sampler_cases.h"

namespace quire::kernels::cuda {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct Row {
  std::vector<float> logits;
  SampleSpec spec;
};

void ExpectSame(const std::vector<Row>& rows, int vocabulary, uint64_t seed) {
  const int64_t stride = vocabulary + 3;
  std::vector<float> logits(rows.size() * stride, std::nanf(""));  // what stands between rows is nobody's
  std::vector<const SampleSpec*> specs;
  for (size_t row = 0; row < rows.size(); ++row) {
    std::ranges::copy(rows[row].logits, logits.begin() + static_cast<ptrdiff_t>(row) * stride);
    specs.push_back(&rows[row].spec);
  }
  Stream stream(seed);
  DeviceSampler device;
  device.Reserve(stream, std::ssize(rows), vocabulary);
  device.Enqueue(stream, 0, logits.data(), stride, specs);
  ASSERT_EQ(stream.Synchronize(), "");
  const std::span<const SampledToken> tokens = device.TakeTokens(0);
  Sampler sampler(vocabulary);
  for (size_t i = 0; i < rows.size(); ++i) {
    const SamplingParams& params = rows[i].spec.params;
    EXPECT_EQ(DifferenceOf(tokens[i], sampler.Sample(rows[i].logits, rows[i].spec)), "")
        << "row " << i << " temperature " << params.temperature << " top_k " << params.top_k << " top_p "
        << params.top_p << " min_p " << params.min_p;
  }
}

// `spread` 0: all equal. Values are rounded to 1/`grain`, so that many tie.
Row RandomRow(int vocabulary, std::mt19937& random, float spread, float grain) {
  Row row;
  std::normal_distribution<float> normal;
  for (int i = 0; i < vocabulary; ++i)
    row.logits.push_back(std::round(normal(random) * spread * grain) / grain);
  row.spec.seed = random();
  row.spec.position = random() % 1000;
  return row;
}

TEST(CudaSampling, ChoosesWhatTheWorkersSamplerChooses) {
  std::mt19937 random(1);
  const float temperatures[] = {0.0f, 0.3f, 1.0f, 1.7f}, top_ps[] = {1.0f, 0.95f, 0.5f, 0.0f, 0.999f};
  const float min_ps[] = {0.0f, 0.05f, 1.0f};
  const int top_ks[] = {0, 1, 5, 40, 400, 5000};
  for (const int vocabulary : {1, 63, 300, 1500}) {
    std::vector<Row> rows;
    for (int i = 0; i < 40; ++i) {
      Row row =
          RandomRow(vocabulary, random, 0.5f + static_cast<float>(i % 4) * 2, i % 3 == 0 ? 2.0f : 1000.0f);
      row.spec.params.temperature = temperatures[random() % 4];
      row.spec.params.top_p = top_ps[random() % 5];
      row.spec.params.min_p = min_ps[random() % 3];
      row.spec.params.top_k = top_ks[random() % 6];
      rows.push_back(row);
    }
    ExpectSame(rows, vocabulary, static_cast<uint64_t>(vocabulary));
  }
}

TEST(CudaSampling, LargeNucleiCutTiesByIdLikeTheWorkers) {
  std::mt19937 random(2);
  std::vector<Row> rows;
  for (int i = 0; i < 12; ++i) {
    rows.push_back(RandomRow(1400, random, i < 4 ? 0.0f : 0.3f, i < 8 ? 4.0f : 1e6f));
    rows.back().spec.params.top_p = i % 2 == 0 ? 0.9f : 0.5f;
    if (i % 3 == 0) rows.back().spec.params.top_k = 1000;
  }
  ExpectSame(rows, 1400, 5);
}

TEST(CudaSampling, NoiseNearOneAndMaskedIds) {
  std::mt19937 random(3);
  std::vector<Row> rows;
  for (int i = 0; i < 10; ++i) {
    Row row = RandomRow(700, random, 3, 100);
    for (int id = i == 9 ? 0 : i; id < 700; id += i == 9 ? 1 : 2) row.spec.params.masked_ids.push_back(id);
    if (i % 4 == 0) row.spec.params.temperature = 0;
    rows.push_back(row);
  }
  ExpectSame(rows, 700, 6);
}

TEST(CudaSampling, ARowWithANaNFailsAlone) {
  std::mt19937 random(4);
  std::vector<Row> rows;
  for (int i = 0; i < 4; ++i) rows.push_back(RandomRow(200, random, 3, 100));
  rows[1].logits[77] = std::nanf("");
  rows[2].logits[199] = std::numeric_limits<float>::infinity();
  ExpectSame(rows, 200, 7);
}

TEST(CudaSampling, TakesNoRowsAndSaysWhatItCannotTake) {
  alignas(16) float logits[192] = {}, weights[192] = {};
  const SampleRule rules[1] = {};
  int ids[1] = {-7};
  const SampleRows::Params good{logits, 100, rules, weights, 128, ids, nullptr, 100};
  const auto error = [](int rows, const SampleRows::Params& params) {
    Stream stream;
    SampleTokens(stream, rows, params);
    return stream.Synchronize();
  };
  EXPECT_EQ(error(0, good), "");
  EXPECT_EQ(ids[0], -7);
  EXPECT_EQ(error(1, good), "");
  EXPECT_NE(ids[0], -7);
  const auto bad = [&](auto SampleRows::Params::*field, auto value) {
    SampleRows::Params params = good;
    params.*field = value;
    return error(1, params);
  };
  EXPECT_NE(bad(&SampleRows::Params::vocabulary, 0), "");
  EXPECT_NE(bad(&SampleRows::Params::vocabulary, 129), "");
  EXPECT_NE(bad(&SampleRows::Params::logits_stride, 99), "");
  EXPECT_NE(bad(&SampleRows::Params::stride, 100), "");
  EXPECT_NE(bad(&SampleRows::Params::weights, weights + 1), "");
  SampleRows::Params long_rows = good;
  long_rows.logits_stride = long_rows.stride = 2 * SampleRows::kMostIds;
  long_rows.vocabulary = SampleRows::kMostIds + 1;
  EXPECT_NE(error(1, long_rows), "");
  EXPECT_NE(error(-1, good), "");
}

TEST(CudaSampling, ExpHasTheWorkersBits) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(-90, 0);
  for (int i = 0; i < 100000; ++i) {
    const float x = i < 3 ? std::vector<float>{0, -87, kMinusInfinity}[i] : uniform(random);
    ASSERT_EQ(FloatToBits(FixedExpOfNegative(x)), FloatToBits(ExpOfNegative(x))) << x;
  }
}

TEST(CudaSampling, LogHasTheWorkersBits) {
  std::mt19937_64 random(6);
  for (int i = 0; i < 100000; ++i) {
    const uint64_t any = random() >> 2;  // positive, 0 to 2^1023 or so
    const double x = i < 4 ? std::array{1.0, 0.70710678118654752440, 2.0, 152064.0}[i]
                           : BitsToDouble(i % 2 == 0 ? any : any >> 12 | uint64_t{0x3FF} << 52);
    if (!std::isnormal(x)) continue;
    ASSERT_EQ(DoubleToBits(FixedLogOfPositive(x)), DoubleToBits(LogOfPositive(x))) << x;
  }
}

}  // namespace
}  // namespace quire::kernels::cuda
