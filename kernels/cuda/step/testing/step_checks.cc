#include "kernels/cuda/step/testing/step_checks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cuda/step/testing/step_reference.h"

namespace quire::kernels::cuda {
namespace {

void Append(std::vector<float>& to, const std::vector<float>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// Two steps behind `tokens`: they read what the steps before them wrote.
std::vector<float> DecodeTwo(StepWorld& world, Gemm& gemm, int sequence, int tokens) {
  std::vector<float> logits = world.Run({{sequence, tokens, 1, 0}}, gemm, {});
  Append(logits, world.Run({{sequence, tokens + 1, 1, 0}}, gemm, {}));
  return logits;
}

int Largest(const std::vector<float>& logits) {
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

void Tell(StepWorld& world, const StepCheckSink& sink, StepCheckResult result) {
  result.error = world.stream().Synchronize();
  sink(result);
}

// Ids sampled in `steps` decode steps of a sequence; on the device, or through a host.
std::vector<int> SampleOn(StepWorld& world, Gemm& gemm, int position, int steps, const SampleRule& rule) {
  const StepPlan plan = world.Load({{0, position, 1}}, rule);
  std::vector<int> ids;
  for (int i = 0; i < steps; ++i) {
    EnqueueStep(world.stream(), world.Model(gemm), plan, {});
    EnqueueAdvance(world.stream(), world.Model(gemm), plan, Order::kOverlapping);
    ids.push_back(world.Sampled(1)[0]);
  }
  return ids;
}
std::vector<int> SampleThroughHost(StepWorld& world, Gemm& gemm, int position, int steps,
                                   const SampleRule& rule) {
  std::vector<int> ids;
  for (int i = 0; i < steps; ++i) {
    StepBatch batch = world.Batch({{0, position + i, 1}}, rule);
    if (i > 0) batch.ids[0] = ids.back();
    const StepPlan plan = UploadBatch(world.stream(), batch, world.buffers());
    EnqueueStep(world.stream(), world.Model(gemm), plan, {});
    ids.push_back(world.Sampled(1)[0]);
  }
  return ids;
}

}  // namespace

StepCheckResult CompareLogits(const std::string& name, const std::vector<float>& got,
                              const std::vector<float>& want, double limit) {
  StepCheckResult result{.name = name, .limit = limit, .of = want.size()};
  double difference = 0, size = 0;
  if (got.size() != want.size() || want.empty()) {
    result.relative = HUGE_VAL;
    return result;
  }
  for (size_t i = 0; i < want.size(); ++i) {
    result.different += std::memcmp(&got[i], &want[i], sizeof(float)) == 0 ? 0 : 1;
    difference += (static_cast<double>(got[i]) - want[i]) * (static_cast<double>(got[i]) - want[i]);
    size += static_cast<double>(want[i]) * want[i];
  }
  result.relative = std::sqrt(difference / size);
  if (!std::isfinite(result.relative)) result.relative = HUGE_VAL;
  if (limit == 0 && result.different > 0) result.relative = std::max(result.relative, 1e-30);
  return result;
}

void CheckReference(StepWorld& world, uint32_t seed, Gemm& gemm, const StepCheckSink& sink) {
  // Past a page; and one token, whose attention is its own value.
  for (const int tokens : {1, 19}) {
    std::vector<int32_t> ids;
    for (int i = 0; i < tokens; ++i) ids.push_back(world.Id(0, i));
    const std::vector<double> wide = ReferenceLogits(world.shape(), seed, ids);
    const std::vector<float> want(wide.begin(), wide.end());
    const std::vector<float> got = world.Run({{0, 0, tokens}}, gemm, {});
    // A few bf16 roundings that go the other way, and weights of softmax that the reference does not round.
    Tell(world, sink, CompareLogits("fp64, " + std::to_string(tokens) + " tokens", got, want, 8e-3));
    StepCheckResult greedy{.name = "greedy, " + std::to_string(tokens) + " tokens", .of = 1};
    greedy.relative = world.Sampled(1)[0] == Largest(got) ? 0 : 1;
    Tell(world, sink, greedy);
  }
}

void CheckBrief(StepWorld& world, Gemm& gemm, const StepCheckSink& sink) {
  constexpr int kTokens = 9;
  world.Run({{0, 0, kTokens, 0}}, gemm, {});
  const std::vector<float> decoded = world.Run({{0, kTokens, 1, 0}}, gemm, {});
  const std::vector<float> prefilled = world.Run({{1, 0, kTokens + 1, 0}}, gemm, {});
  Tell(world, sink, CompareLogits("decode behind a prefill = a longer prefill", decoded, prefilled, 0));
}

void CheckPrefill(StepWorld& world, Gemm& decode, Gemm& prefill, int tokens, int chunk, double limit,
                  const StepCheckSink& sink) {
  std::vector<float> want;
  for (int position = 0; position < tokens; ++position) want = world.Run({{0, position, 1}}, decode, {});
  Append(want, DecodeTwo(world, decode, 0, tokens));

  // In other sequences' pages: what a prefill failed to write would be missed.
  const std::string shape = std::to_string(tokens) + " tokens";
  std::vector<float> whole = world.Run({{1, 0, tokens, 0}}, prefill, {});
  Append(whole, DecodeTwo(world, decode, 1, tokens));
  Tell(world, sink, CompareLogits("prefill = decode all along, " + shape, whole, want, limit));

  std::vector<float> chunks;
  for (int position = 0; position < tokens; position += chunk) {
    const int count = std::min(chunk, tokens - position);
    chunks = world.Run({{2, position, count, 0}}, prefill, {});
  }
  Append(chunks, DecodeTwo(world, decode, 2, tokens));
  Tell(world, sink,
       CompareLogits("chunks of " + std::to_string(chunk) + " = decode all along, " + shape, chunks, want,
                     limit));
}

void CheckBatch(StepWorld& world, Gemm& gemm, int count, const StepCheckSink& sink) {
  // Sequence i stands at position 3 + 5 i; what it has read is prefilled alone.
  const auto position = [](int sequence) { return 3 + 5 * sequence; };
  std::vector<StepPiece> all;
  for (int i = 0; i < count; ++i) {
    world.Run({{i, 0, position(i)}}, gemm, {});
    all.push_back({i, position(i), 1});
  }
  const std::vector<float> together = world.Run(all, gemm, {});
  const int width = world.shape().vocabulary;
  for (const int i : {0, count / 2, count - 1}) {
    const std::vector<float> alone = world.Run({{i, position(i), 1}}, gemm, {});
    const auto from = together.begin() + static_cast<int64_t>(i) * width;
    Tell(world, sink,
         CompareLogits("batch of " + std::to_string(count) + " = alone, sequence " + std::to_string(i),
                       {from, from + width}, alone, 0));
  }
}

void CheckFeedback(StepWorld& world, Gemm& gemm, const StepCheckSink& sink) {
  constexpr int kPosition = 13, kSteps = 6;  // over the end of a page
  world.Run({{0, 0, kPosition}}, gemm, {});
  const SampleRule rules[] = {
      {.scale = 0}, {.scale = 1 / 0.6f, .top_k = 40, .top_p = 0.95f, .noise = 0.7}, {.noise = 0.3}};
  for (const SampleRule& rule : rules) {
    const std::vector<int> want = SampleThroughHost(world, gemm, kPosition, kSteps, rule);
    const std::vector<int> got = SampleOn(world, gemm, kPosition, kSteps, rule);
    StepCheckResult result{.name = "fed back on the device, scale " + std::to_string(rule.scale),
                           .of = kSteps};
    for (size_t i = 0; i < want.size(); ++i) result.different += got[i] == want[i] && want[i] >= 0 ? 0 : 1;
    result.relative = static_cast<double>(result.different);
    Tell(world, sink, result);
  }
}

}  // namespace quire::kernels::cuda
