#include "kernels/cuda/step/testing/step_bench.h"

#include <algorithm>
#include <chrono>

namespace quire::kernels::cuda {
namespace {

using bench::JsonLine;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kAllKinds = (1u << kStepKinds) - 1;
// What a request of QwQ-32B asks for.
constexpr SampleRule kUsualRule{.scale = 1 / 0.6f, .top_k = 40, .top_p = 0.95f, .min_p = 0, .noise = 0.37};
constexpr SampleRule kGreedy{.scale = 0, .top_k = 0, .top_p = 1, .min_p = 0, .noise = 0};

std::vector<StepPiece> DecodePieces(int batch, int context) {
  std::vector<StepPiece> pieces;
  for (int i = 0; i < batch; ++i) pieces.push_back({i, context, 1});
  return pieces;
}

double Flops(const StepShape& shape, int64_t tokens) {
  const double matrices = 2.0 * static_cast<double>(shape.LayerMatrixElements()) * shape.layers;
  const double keys = 0.5 * static_cast<double>(tokens) * static_cast<double>(tokens + 1);
  return matrices * static_cast<double>(tokens) + 2.0 * static_cast<double>(shape.LmHeadElements()) +
         4.0 * shape.QWidth() * shape.layers * keys;
}

}  // namespace

void StepBench::Decode(StepWorld& world, Gemm& gemm, const char* gemms, int batch, int context) {
  Stream& stream = world.stream();
  const StepShape& shape = world.shape();
  const std::vector<StepPiece> pieces = DecodePieces(batch, context);
  const StepBatch on_host = world.Batch(pieces, kGreedy);
  StepPlan plan = UploadBatch(stream, on_host, world.buffers());
  EnqueueStep(stream, world.Model(gemm), plan, {});  // loads kernels, chooses algorithms
  EnqueueAdvance(stream, world.Model(gemm), plan, Order::kOverlapping);
  const StepStamps stamps(stream, 64);
  plan = UploadBatch(stream, on_host, world.buffers());
  const Graph graph(stream, [&](Stream& s) {
    stamps.EnqueueBegin(s);
    EnqueueStep(s, world.Model(gemm), plan, {});
    EnqueueAdvance(s, world.Model(gemm), plan, Order::kOverlapping);
    stamps.EnqueueEnd(s);
  });
  if (!report_.Good(graph.error(), "decode")) return;
  const LoopTimes times = RunLoop(world, graph, stamps);
  const double bytes = static_cast<double>(shape.StepMatrixBytes()) +
                       static_cast<double>(shape.TokenKvBytes()) * batch * (context + kSteps / 2);
  const double line_ms = 1e3 * bytes / ceilings_.read_bytes_per_s;
  plan = UploadBatch(stream, on_host, world.buffers());
  const double step_ms = GraphMs(world, gemm, plan, {});
  const double apart_ms = GraphMs(world, gemm, plan, {.order = Order::kAfter});
  const double eager_ms =
      MedianMs(stream, kRepeats, [&](Stream& s) { EnqueueStep(s, world.Model(gemm), plan, {}); });
  plan = world.Load(pieces, kUsualRule);
  const double sampled_ms = GraphMs(world, gemm, plan, {});
  plan = UploadBatch(stream, on_host, world.buffers());
  report_.Print(JsonLine("decode")
                    .Text("gemms", gemms)
                    .Number("batch", batch)
                    .Number("context", context)
                    .Number("ms", times.ms)
                    .Number("tokens_per_s", batch * 1e3 / times.ms)
                    .Number("bytes", bytes)
                    .Number("line_ms", line_ms)
                    .Number("of_line", line_ms / times.ms)
                    .Number("busy_us", times.stamps.busy_us)
                    .Number("gap_us", times.stamps.gap_us)
                    .Number("longest_gap_us", times.stamps.longest_gap_us)
                    .Number("awaited_gap_us", times.awaited.gap_us)
                    .Number("host_launch_us", times.host_us)
                    .Number("nodes", static_cast<double>(graph.nodes()))
                    .Number("step_alone_ms", step_ms)
                    .Number("without_overlap_ms", apart_ms)
                    .Number("eager_ms", eager_ms)
                    .Number("with_temperature_ms", sampled_ms)
                    .Number("plan_holds_steps", StepsOfPlan(on_host)));
  report_.Good(stream.Synchronize(), "decode");
  JsonLine where("decode_kinds");
  where.Text("gemms", gemms).Number("batch", batch).Number("context", context);
  DecodeKinds(world, gemm, where, plan, step_ms);
}

StepBench::LoopTimes StepBench::RunLoop(StepWorld& world, const Graph& graph, const StepStamps& stamps) {
  Stream& stream = world.stream();
  LoopTimes times;
  for (int i = 0; i < 2; ++i) graph.Launch(stream);
  report_.Good(stream.Synchronize(), "first steps");
  stamps.Reset(stream);
  report_.Good(stream.Synchronize(), "resetting stamps");
  const Clock::time_point begin = Clock::now();
  double host_s = 0;
  times.ms = MedianMs(stream, 1,
                      [&](Stream& s) {
                        for (int i = 0; i < kSteps; ++i) graph.Launch(s);
                        host_s = std::chrono::duration<double>(Clock::now() - begin).count();
                      }) /
             kSteps;
  times.host_us = 1e6 * host_s / kSteps;
  times.stamps = stamps.Read(stream);
  // A host that looks at each token before it launches the next step.
  stamps.Reset(stream);
  for (int i = 0; i < kAwaitedSteps; ++i) {
    graph.Launch(stream);
    world.Sampled(1);
  }
  times.awaited = stamps.Read(stream);
  return times;
}

double StepBench::GraphMs(StepWorld& world, Gemm& gemm, const StepPlan& plan, const StepOptions& options) {
  const Graph graph(world.stream(), [&](Stream& s) { EnqueueStep(s, world.Model(gemm), plan, options); });
  if (!report_.Good(graph.error(), "capturing")) return std::numeric_limits<double>::quiet_NaN();
  graph.Launch(world.stream());
  return MedianMs(world.stream(), kRepeats, [&](Stream& s) { graph.Launch(s); });
}

// Each kind by itself (all layers' in a row), and what the step lacks without it.
void StepBench::DecodeKinds(StepWorld& world, Gemm& gemm, const JsonLine& where, const StepPlan& plan,
                            double step_ms) {
  double sum = 0;
  for (int kind = 0; kind < kStepKinds; ++kind) {
    const uint32_t bit = uint32_t{1} << kind;
    if (bit == StepBit(StepKind::kCombine) && plan.combine == 0) continue;
    const double alone = GraphMs(world, gemm, plan, {.kinds = bit});
    const double without = GraphMs(world, gemm, plan, {.kinds = kAllKinds & ~bit});
    sum += alone;
    report_.Print(JsonLine(where)
                      .Text("kind", kStepKindNames[kind])
                      .Number("alone_us", 1e3 * alone)
                      .Number("share_us", 1e3 * (step_ms - without)));
  }
  report_.Print(
      JsonLine(where).Text("kind", "sum").Number("alone_us", 1e3 * sum).Number("share_us", 1e3 * step_ms));
  report_.Good(world.stream().Synchronize(), "decode kinds");
}

double StepBench::PrefillMs(StepWorld& world, Gemm& gemm, int tokens, int chunk, uint32_t kinds) {
  return MedianMs(world.stream(), 1, [&](Stream& stream) {
    for (int position = 0; position < tokens; position += chunk) {
      const StepPlan plan = world.Load({{0, position, std::min(chunk, tokens - position)}}, kGreedy);
      EnqueueStep(stream, world.Model(gemm), plan, {.kinds = kinds});
    }
  });
}

void StepBench::Prefill(StepWorld& world, Gemm& gemm, const char* gemms, int tokens, int chunk) {
  const StepShape& shape = world.shape();
  (void)PrefillMs(world, gemm, std::min(tokens, chunk), chunk, kAllKinds);  // chooses algorithms
  if (tokens % chunk != 0 && tokens > chunk) (void)PrefillMs(world, gemm, tokens, chunk, kAllKinds);
  if (!report_.Good(world.stream().Synchronize(), "prefill")) return;
  double ms = 1e30;
  for (int i = 0; i < 2; ++i) ms = std::min(ms, PrefillMs(world, gemm, tokens, chunk, kAllKinds));
  const double flops = Flops(shape, tokens);
  report_.Print(JsonLine("prefill")
                    .Text("gemms", gemms)
                    .Number("tokens", tokens)
                    .Number("chunk", chunk)
                    .Number("ms", ms)
                    .Number("tokens_per_s", tokens * 1e3 / ms)
                    .Number("tflops", flops / ms * 1e-9)
                    .Number("of_line", flops / ceilings_.flops_per_s * 1e3 / ms));
  for (int kind = 0; kind < kStepKinds; ++kind) {
    const double alone = PrefillMs(world, gemm, tokens, chunk, uint32_t{1} << kind);
    report_.Print(JsonLine("prefill_kinds")
                      .Text("gemms", gemms)
                      .Number("tokens", tokens)
                      .Number("chunk", chunk)
                      .Text("kind", kStepKindNames[kind])
                      .Number("alone_ms", alone));
  }
  report_.Good(world.stream().Synchronize(), "prefill");
}

}  // namespace quire::kernels::cuda
