// quire-cuda-sampling: on a GPU, the device's sampler beside the host's, and its times. JSON lines on
// stdout; exit code 1 where a choice differs.
#include <cstdio>
#include <random>

#include "kernels/sampling/fixed_math.h"
#include "kernels/sampling/sampler.h"
#include "tests/cuda/sampling_device.h"

namespace quire::kernels::cuda {
namespace {

constexpr int kVocabulary = 152064;

struct Rows {
  std::vector<float> logits;
  std::vector<SampleSpec> specs;
};

// Logits like a model's: about normal with this spread, a few that stand out.
Rows RandomRows(int count, float spread, int outstanding, const SamplingParams& params, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Rows rows;
  rows.logits.resize(static_cast<size_t>(count) * kVocabulary);
  for (float& logit : rows.logits) logit = normal(random) * spread;
  for (int row = 0; row < count; ++row) {
    for (int i = 0; i < outstanding; ++i) {
      rows.logits[static_cast<size_t>(row) * kVocabulary + random() % kVocabulary] += 5 * spread + 10;
    }
    SampleSpec spec;
    spec.params = params;
    spec.seed = random();
    spec.position = static_cast<uint32_t>(row);
    rows.specs.push_back(spec);
  }
  return rows;
}

bool Compare(const char* name, const Rows& rows) {
  std::vector<DeviceRule> rules;
  for (const SampleSpec& spec : rows.specs) {
    const SamplingParams& params = spec.params;
    rules.push_back({params.temperature < 1e-5f ? 0.0f : 1.0f / params.temperature, params.top_p,
                     params.min_p, params.top_k, UniformNoise(spec.seed, spec.choice, spec.position)});
  }
  const DeviceSamples samples = SampleOnDevice(rows.logits, rules, kVocabulary, kVocabulary);
  Sampler sampler(kVocabulary);
  int different = 0;
  for (size_t row = 0; row < rows.specs.size(); ++row) {
    const std::span<const float> logits(rows.logits.data() + row * kVocabulary, kVocabulary);
    different += sampler.Sample(logits, rows.specs[row]).id == samples.ids[row] ? 0 : 1;
  }
  const bool ok = different == 0 && samples.error.empty();
  std::printf(
      "{\"what\": \"check\", \"kernel\": \"sample_rows\", \"shape\": \"%s, %zu rows\", \"different\": %d, "
      "\"us\": %.1f, \"ok\": %s, \"error\": \"%s\"}\n",
      name, rows.specs.size(), different, samples.us, ok ? "true" : "false", samples.error.c_str());
  std::fflush(stdout);
  return ok;
}

int Main() {
  bool ok = true;
  const SamplingParams greedy{.temperature = 0}, plain{}, flat{.top_p = 0.95f};
  const SamplingParams usual{.temperature = 0.6f, .top_k = 40, .top_p = 0.95f};
  const SamplingParams min_p{.temperature = 1.5f, .min_p = 0.05f};
  for (const int rows : {1, 32}) {
    const auto seed = static_cast<uint32_t>(rows);
    ok = Compare("greedy", RandomRows(rows, 2, 10, greedy, seed)) && ok;
    ok = Compare("temperature 1", RandomRows(rows, 2, 10, plain, seed + 1)) && ok;
    ok = Compare("temperature 0.6 top_k 40 top_p 0.95", RandomRows(rows, 2, 30, usual, seed + 2)) && ok;
    ok = Compare("top_p 0.95 small nucleus", RandomRows(rows, 1, 50, flat, seed + 3)) && ok;
    ok = Compare("top_p 0.95 large nucleus", RandomRows(rows, 2, 0, flat, seed + 4)) && ok;
    ok = Compare("min_p 0.05", RandomRows(rows, 2, 30, min_p, seed + 5)) && ok;
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace quire::kernels::cuda

int main() { return quire::kernels::cuda::Main(); }
