#include "kernels/cuda/step/testing/step_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "kernels/cuda/bench/ceilings.h"
#include "kernels/cuda/gemm/skinny_gemm.h"

namespace quire::kernels::cuda {
namespace {

using bench::JsonLine;

constexpr uint32_t kSeed = 3;
constexpr int kShortContext = 1024, kLongContext = 8192, kPlanSteps = 256;  // positions behind a context
constexpr int kPartialRows = 64 << 10, kItems = 64 << 10;

}  // namespace

StepRun::StepRun(StepReport& report, cudaStream_t handle, std::shared_ptr<LtChoices> lt)
    : report_(report), stream_(handle), lt_(std::move(lt)) {
  cudaDeviceProp device = {};
  stream_.Record(cudaGetDeviceProperties(&device, 0), "reading the device's properties");
  device_ = ReadDeviceSize(stream_);
  Good(stream_.Synchronize(), "device");
  report_.Print(JsonLine("device")
                    .Text("name", device.name)
                    .Number("processors", device_.processors)
                    .Number("memory_bytes", static_cast<double>(device.totalGlobalMem)));
}

bool StepRun::Good(const std::string& error, const char* where) {
  const bool good = report_.Good(error, where);
  ok_ = ok_ && good;
  return good;
}

void StepRun::Tell(const StepCheckResult& result) {
  ok_ = ok_ && result.ok();
  report_.Print(JsonLine("check")
                    .Text("name", result.name)
                    .Flag("ok", result.ok())
                    .Number("relative", result.relative)
                    .Number("limit", result.limit)
                    .Number("different", static_cast<double>(result.different))
                    .Number("of", static_cast<double>(result.of))
                    .Text("error", result.error));
}

std::unique_ptr<LtGemms> StepRun::Lt(SharedSums shared) {
  return std::make_unique<LtGemms>(lt_, device_, shared);
}

// A graph with programmatic edges, the same step launched eagerly, and with every kernel after the one
// before: equal, or a kernel reads before it waits.
void StepRun::CheckGraph(StepWorld& world, Gemm& gemm, int batch, int context) {
  std::vector<StepPiece> pieces;
  for (int i = 0; i < batch; ++i) pieces.push_back({i, context, 1});
  const std::vector<float> apart = world.Run(pieces, gemm, {.order = Order::kAfter});
  double squares = 0, largest = 0;
  for (const float logit : apart) {
    squares += static_cast<double>(logit) * logit;
    largest = std::fmax(largest, std::fabs(static_cast<double>(logit)));
  }
  report_.Print(JsonLine("logits")
                    .Number("deviation", std::sqrt(squares / static_cast<double>(apart.size())))
                    .Number("largest", largest));
  const std::string shape = ", batch " + std::to_string(batch) + ", context " + std::to_string(context);
  Tell(CompareLogits("eager, overlapping = apart" + shape, world.Run(pieces, gemm, {}), apart, 0));
  const StepPlan plan = world.Load(pieces, SampleRule{.scale = 0});
  const Graph graph(stream_, [&](Stream& s) { EnqueueStep(s, world.Model(gemm), plan, {}); });
  if (!Good(graph.error(), "capturing a step")) return;
  for (int i = 0; i < 5; ++i) {
    stream_.Record(cudaMemsetAsync(world.buffers().logits_f32.data(), 0xff,
                                   world.buffers().logits_f32.size() * sizeof(float), stream_.handle()),
                   "poisoning");
    graph.Launch(stream_);
    StepCheckResult result = CompareLogits("graph = eager" + shape, world.Logits(batch), apart, 0);
    result.error = stream_.Synchronize();
    Tell(result);
  }
}

// Prefill through the library: with leaves the bits of decode; as a chain near to them.
void StepRun::CheckLt(StepWorld& world, const StepShape& shape, int tokens, double chain_limit) {
  SkinnyGemms decode(device_);
  const auto tell = [this](StepCheckResult result, const char* how) {
    result.name += std::string(", ") + how;
    Tell(result);
  };
  const auto tree = Lt(SharedSums::kTree), chain = Lt(SharedSums::kChain);
  if (!Good(stream_.Synchronize(), "memory of GEMMs")) return;
  CheckPrefill(world, decode, *tree, tokens, tokens - 3, 0,
               [&](const StepCheckResult& result) { tell(result, "cuBLASLt in leaves"); });
  CheckPrefill(world, decode, *chain, tokens, tokens - 3, chain_limit,
               [&](const StepCheckResult& result) { tell(result, "cuBLASLt in chains"); });
}

// Whole, beside as many rows at a time as the decode GEMM takes.
void StepRun::CheckLongPrefill(StepWorld& world, Gemm& gemm, int tokens) {
  SkinnyGemms decode(device_);
  std::vector<float> want, got;
  for (int position = 0; position < tokens; position += kSkinnyMaxRows)
    want = world.Run({{0, position, std::min(kSkinnyMaxRows, tokens - position), 0}}, decode, {});
  got = world.Run({{1, 0, tokens, 0}}, gemm, {});
  for (int i = 0; i < 2; ++i) {
    StepCheckResult result = CompareLogits(i == 0 ? "prefill of " + std::to_string(tokens) + " = " +
                                                        std::to_string(kSkinnyMaxRows) + " at a time"
                                                  : "the step after it",
                                           got, want, 0);
    result.error = stream_.Synchronize();
    Tell(result);
    want = world.Run({{0, tokens, 1, 0}}, decode, {});
    got = world.Run({{1, tokens, 1, 0}}, decode, {});
  }
}

bool StepRun::Tiny(const std::set<std::string>& parts) {
  const GeneratedModel model(stream_, kTinyShape, 64, kSeed);
  if (!Good(model.error(), "weights")) return false;
  StepWorld world(
      stream_, model,
      {.tokens = 48, .sequences = 8, .table_entries = 64, .partial_rows = 256, .attention_items = 64}, 8, 64,
      device_.processors);
  if (!Good(stream_.Synchronize(), "buffers")) return false;
  SkinnyGemms skinny(device_);
  const auto tell = [this](const StepCheckResult& result) { Tell(result); };
  if (parts.contains("brief")) CheckBrief(world, skinny, tell);
  if (parts.contains("check")) TinyChecks(world, skinny);
  if (parts.contains("decode")) StepBench(report_, ceilings_).Decode(world, skinny, "own", 8, 3);
  return ok_ && Good(stream_.Synchronize(), "tiny");
}

void StepRun::TinyChecks(StepWorld& world, Gemm& skinny) {
  const auto tell = [this](const StepCheckResult& result) { Tell(result); };
  CheckReference(world, kSeed, skinny, tell);
  CheckPrefill(world, skinny, skinny, 21, 9, 0, tell);
  CheckBatch(world, skinny, 8, tell);
  CheckFeedback(world, skinny, tell);
  CheckGraph(world, skinny, 8, 20);
  if (lt_ != nullptr) {
    const auto chain = Lt(SharedSums::kChain);
    CheckReference(world, kSeed, *chain, tell);
  }
}

size_t StepRun::FreeBytes() {
  size_t free = 0, all = 0;
  stream_.Record(cudaMemGetInfo(&free, &all), "asking for free memory");
  return free;
}

// The device's own lines, before the weights take its memory.
void StepRun::MeasureLines(const StepShape& shape) {
  ceilings_ = bench::MeasureMemory(stream_.handle());
  if (lt_ != nullptr) {
    constexpr int kSide = 8192;
    const auto gemms = Lt(SharedSums::kChain);
    const DeviceArray<uint16_t> a(stream_, size_t{kSide} * kSide), b(stream_, size_t{kSide} * kSide);
    const DeviceArray<uint16_t> y(stream_, size_t{kSide} * kSide);
    if (!Good(stream_.Synchronize(), "memory of the GEMM line")) return;
    FillGenerated(stream_, a.data(), {a.size(), 0.02f, 0, 1});
    FillGenerated(stream_, b.data(), {b.size(), 1, 0, 2});
    const StepGemm gemm{a.data(), b.data(), y.data(), true, kSide, kSide, kSide, kSide, 1};
    gemms->Run(stream_, gemm, Order::kAfter);  // chooses
    const double ms = MedianMs(stream_, 5, [&](Stream& s) { gemms->Run(s, gemm, Order::kAfter); });
    ceilings_.flops_per_s = 2.0 * kSide * kSide * kSide / ms * 1e3;
  }
  report_.Print(JsonLine("lines")
                    .Number("read_gb_per_s", ceilings_.read_bytes_per_s * 1e-9)
                    .Number("bf16_tflops", ceilings_.flops_per_s * 1e-12));
  Good(stream_.Synchronize(), "lines");
}

bool StepRun::Large(const std::set<std::string>& parts) {
  const StepShape& shape = kQwq32bShape;
  MeasureLines(shape);
  const auto begin = std::chrono::steady_clock::now();
  const GeneratedModel model(stream_, shape, kLongContext + 2 * kPlanSteps, kSeed);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  report_.Print(JsonLine("weights")
                    .Number("bytes_read_by_a_step", static_cast<double>(shape.StepMatrixBytes()))
                    .Number("seconds", seconds)
                    .Number("free_bytes", static_cast<double>(FreeBytes())));
  if (!Good(model.error(), "weights")) return false;
  if (parts.contains("check") || parts.contains("decode")) ShortContexts(model, parts);
  if (parts.contains("decode")) LongContexts(model);
  if (parts.contains("prefill")) Prefills(model);
  return ok_ && Good(stream_.Synchronize(), "end");
}

void StepRun::ShortContexts(const GeneratedModel& model, const std::set<std::string>& parts) {
  constexpr int kBatch = 32, kPositions = kShortContext + kPlanSteps;
  const StepShape& shape = model.shape();
  StepWorld world(stream_, model,
                  {.tokens = kShortContext,
                   .sequences = kBatch,
                   .table_entries = kBatch * kPositions / kPageKeys,
                   .partial_rows = kPartialRows,
                   .attention_items = kItems},
                  kBatch, kPositions, device_.processors);
  if (!Good(stream_.Synchronize(), "buffers of short contexts")) return;
  SkinnyGemms skinny(device_);
  const auto tell = [this](const StepCheckResult& result) { Tell(result); };
  if (parts.contains("check")) {
    CheckGraph(world, skinny, 8, 500);
    CheckBatch(world, skinny, 8, tell);
    CheckFeedback(world, skinny, tell);
    CheckPrefill(world, skinny, skinny, 21, 9, 0, tell);
    // Rounding differences grow through 64 layers of random weights.
    if (lt_ != nullptr) CheckLt(world, shape, 40, 0.2);
    if (lt_ != nullptr) CheckLongPrefill(world, *Lt(SharedSums::kTree), kShortContext);
  }
  if (!parts.contains("decode")) return;
  StepBench bench(report_, ceilings_);
  for (const int batch : {1, 8, 16, kBatch}) bench.Decode(world, skinny, "own", batch, kShortContext);
  if (lt_ == nullptr) return;
  bench.Decode(world, *Lt(SharedSums::kChain), "cuBLASLt in chains", kBatch, kShortContext);
  bench.Decode(world, *Lt(SharedSums::kTree), "cuBLASLt, o and down own", kBatch, kShortContext);
}

void StepRun::LongContexts(const GeneratedModel& model) {
  constexpr int kMostBatch = 8, kPositions = kLongContext + kPlanSteps;
  constexpr size_t kKept = size_t{600} << 20;  // buffers and what CUDA takes
  const StepShape& shape = model.shape();
  const size_t free = FreeBytes(), each = static_cast<size_t>(shape.TokenKvBytes()) * kPositions;
  const int batch = std::min(kMostBatch, static_cast<int>(free < kKept ? 0 : (free - kKept) / each));
  report_.Print(JsonLine("long_contexts")
                    .Number("free_bytes", static_cast<double>(free))
                    .Number("sequence_bytes", static_cast<double>(each))
                    .Number("fit", batch));
  if (batch == 0) return;
  StepWorld world(stream_, model,
                  {.tokens = kMostBatch,
                   .sequences = kMostBatch,
                   .table_entries = batch * kPositions / kPageKeys,
                   .partial_rows = kPartialRows,
                   .attention_items = kItems},
                  batch, kPositions, device_.processors);
  if (!Good(stream_.Synchronize(), "buffers of long contexts")) return;
  SkinnyGemms skinny(device_);
  StepBench bench(report_, ceilings_);
  bench.Decode(world, skinny, "own", 1, kLongContext);
  if (batch > 1) bench.Decode(world, skinny, "own", batch, kLongContext);
}

void StepRun::Prefills(const GeneratedModel& model) {
  if (lt_ == nullptr) return;
  const StepShape& shape = model.shape();
  StepWorld world(stream_, model,
                  {.tokens = kLongContext,
                   .sequences = 1,
                   .table_entries = (kLongContext + kPlanSteps) / kPageKeys,
                   .partial_rows = kPartialRows,
                   .attention_items = kItems},
                  1, kLongContext + kPlanSteps, device_.processors);
  if (!Good(stream_.Synchronize(), "buffers of prefill")) return;
  StepBench bench(report_, ceilings_);
  for (const SharedSums shared : {SharedSums::kChain, SharedSums::kTree}) {
    const char* name = shared == SharedSums::kChain ? "cuBLASLt in chains" : "cuBLASLt, o and down in leaves";
    const auto gemms = Lt(shared);
    if (!Good(stream_.Synchronize(), "memory of GEMMs")) return;
    bench.Prefill(world, *gemms, name, 1024, 1024);
    bench.Prefill(world, *gemms, name, 8192, 2048);
    bench.Prefill(world, *gemms, name, 8192, 8192);
  }
}

}  // namespace quire::kernels::cuda
