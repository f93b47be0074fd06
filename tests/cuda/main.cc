// quire-cuda-sampling: on a GPU, the device's sampling beside the host's, bit by bit, and its times. JSON
// lines on stdout; exit code 1 where a token, or a logprob's bit, differs.
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string_view>

#include "kernels/cuda/bench/said_version.h"
#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/sampler_cases.h"
#include "tests/cuda/sampling_device.h"

namespace quire::kernels::cuda {
namespace {

constexpr char kHelp[] =
    "usage: quire-cuda-sampling [--help | --version]\n"
    "Samples rows of logits on the first GPU and on the host and compares tokens and logprobs, bit by bit.\n";
constexpr int64_t kVocabulary = 152064;

struct Rows {
  int64_t ids = kVocabulary;
  std::vector<std::vector<float>> logits;
  std::vector<SampleSpec> specs;
};

// Logits like a model's: about normal with this spread, a few that stand out.
Rows RandomRows(int count, float spread, int outstanding, const SamplingParams& params, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Rows rows;
  for (int row = 0; row < count; ++row) {
    std::vector<float>& logits = rows.logits.emplace_back(kVocabulary);
    for (float& logit : logits) logit = normal(random) * spread;
    for (int i = 0; i < outstanding; ++i) logits[random() % kVocabulary] += 5 * spread + 10;
    SampleSpec spec;
    spec.params = params;
    spec.seed = random();
    spec.position = static_cast<uint32_t>(row);
    rows.specs.push_back(spec);
  }
  return rows;
}

// All kinds of rows by any parameters, and some that aren't finite.
Rows AssortedRows(int64_t ids, int64_t count, uint32_t seed) {
  const std::vector<std::vector<float>> ugly = UglyRows(ids, seed);
  Rows rows{.ids = ids, .logits = {}, .specs = AssortedSpecs(ids, count, seed)};
  const float bad[] = {std::nanf(""), HUGE_VALF, -HUGE_VALF};
  for (int64_t i = 0; i < count; ++i) {
    rows.logits.push_back(ugly[static_cast<size_t>(i) % ugly.size()]);
    if (i % 16 == 15) rows.logits.back()[static_cast<size_t>(i * 37 % ids)] = bad[i / 16 % 3];
  }
  return rows;
}

bool Compare(const char* name, const Rows& rows) {
  const int64_t stride = (rows.ids + 21) / 8 * 8 + 8;
  std::vector<float> logits(rows.logits.size() * static_cast<size_t>(stride), std::nanf(""));
  std::vector<const SampleSpec*> specs;
  for (size_t row = 0; row < rows.specs.size(); ++row) {
    std::ranges::copy(rows.logits[row], logits.begin() + static_cast<ptrdiff_t>(row) * stride);
    specs.push_back(&rows.specs[row]);
  }
  const DeviceSamples samples = SampleOnDevice(logits, stride, rows.ids, specs);
  Sampler sampler(rows.ids);
  int different = 0;
  std::string first = samples.error;
  for (size_t row = 0; row < rows.specs.size(); ++row) {
    const std::string difference =
        DifferenceOf(samples.tokens[row], sampler.Sample(rows.logits[row], rows.specs[row]));
    different += difference.empty() ? 0 : 1;
    if (first.empty() && !difference.empty()) first = "row " + std::to_string(row) + ": " + difference;
  }
  std::printf(
      "{\"what\": \"check\", \"kernel\": \"sampling\", \"shape\": \"%s, %zu rows of %d\", \"different\": %d, "
      "\"us\": %.1f, \"ok\": %s, \"error\": \"%s\"}\n",
      name, rows.specs.size(), static_cast<int>(rows.ids), different, samples.us,
      first.empty() ? "true" : "false", first.c_str());
  std::fflush(stdout);
  return first.empty();
}

bool CompareRules(int rows) {
  const SamplingParams greedy{.temperature = 0}, plain{}, flat{.top_p = 0.95f};
  const SamplingParams usual{.temperature = 0.6f, .top_k = 40, .top_p = 0.95f};
  const SamplingParams min_p{.temperature = 1.5f, .min_p = 0.05f};
  const SamplingParams one{.temperature = 0, .logprobs = true}, twenty{.temperature = 0, .top_logprobs = 20};
  const auto seed = static_cast<uint32_t>(rows);
  bool ok = Compare("greedy", RandomRows(rows, 2, 10, greedy, seed));
  ok = Compare("temperature 1", RandomRows(rows, 2, 10, plain, seed + 1)) && ok;
  ok = Compare("temperature 0.6 top_k 40 top_p 0.95", RandomRows(rows, 2, 30, usual, seed + 2)) && ok;
  ok = Compare("top_p 0.95 small nucleus", RandomRows(rows, 1, 50, flat, seed + 3)) && ok;
  ok = Compare("top_p 0.95 large nucleus", RandomRows(rows, 2, 0, flat, seed + 4)) && ok;
  ok = Compare("min_p 0.05", RandomRows(rows, 2, 30, min_p, seed + 5)) && ok;
  ok = Compare("greedy, logprobs", RandomRows(rows, 2, 10, one, seed + 6)) && ok;
  return Compare("greedy, top_logprobs 20", RandomRows(rows, 2, 10, twenty, seed + 7)) && ok;
}

// Greedy, so that what adjusting takes stands beside greedy alone. The whole vocabulary of 32 rows goes in
// portions.
bool CompareAdjusted(int rows, TokenId counted) {
  TokenCounts counts;
  for (TokenId id = 0; id < counted; ++id) counts.AddOutput(id);
  const std::vector<uint32_t> words(kVocabulary / 32, 0x55555555u);
  SamplingParams params{.temperature = 0, .repetition_penalty = 1.1f, .presence_penalty = 0.5f};
  params.logit_bias = {{7, 3.0f}, {9, -100.0f}};
  params.masked_ids = {151643, 151645};
  Rows penalized = RandomRows(rows, 2, 10, params, 1),
       grammar = RandomRows(rows, 2, 10, {.temperature = 0}, 2);
  for (SampleSpec& spec : penalized.specs) spec.counts = &counts;
  for (SampleSpec& spec : grammar.specs) spec.allowed = words;
  const std::string name = "greedy, bias, masks, penalties of " + std::to_string(counted);
  const bool ok = Compare(name.c_str(), penalized);
  return Compare("greedy, a grammar", grammar) && ok;
}

int Main() {
  bool ok = true;
  for (const int rows : {1, 32}) {
    ok = CompareRules(rows) && ok;
    for (const TokenId counted : {1000, static_cast<TokenId>(kVocabulary)}) {
      ok = CompareAdjusted(rows, counted) && ok;
    }
  }
  for (const int64_t ids : {1, 63, 300, 1027, 20'011, 151'665}) {
    ok = Compare("any", AssortedRows(ids, ids > 20'000 ? 32 : 160, static_cast<uint32_t>(ids))) && ok;
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace quire::kernels::cuda

int main(int count, char** arguments) {
  const std::string_view first = count > 1 ? arguments[1] : "";
  if (quire::kernels::cuda::SaidVersion(count, arguments)) return 0;
  if (first == "--help") {
    std::puts(quire::kernels::cuda::kHelp);
    return 0;
  }
  if (count > 1) {
    std::fputs(quire::kernels::cuda::kHelp, stderr);
    return 2;
  }
  return quire::kernels::cuda::Main();
}
