// Times of the skinny GEMM: weights rotate through 4 GB, launches stand in a graph.
#include "kernels/cuda/bench/skinny_bench.h"
#include "kernels/cuda/gemm/skinny_gemm_launch.h"

namespace quire::kernels::cuda::bench {
namespace {

constexpr size_t kArenaBytes = size_t{4} << 30;

struct Arena {
  Buffer weights{kArenaBytes}, x{size_t{kSkinnyMaxRows} * 27648 * 2}, y{size_t{kSkinnyMaxRows} * 152064 * 4};
  bool ok() const { return weights.ok() && x.ok() && y.ok(); }
  SkinnyGemmParams<float> Params(const GemmShape& shape, int64_t m, size_t offset) const {
    const int n = static_cast<int>(shape.n), k = static_cast<int>(shape.k);
    return {weights.as<uint16_t>() + offset,
            x.as<uint16_t>(),
            y.as<float>(),
            nullptr,
            static_cast<int>(m),
            n,
            k,
            k,
            k,
            n};
  }
};

// Ranks share the sums of o and down: those have a tree. The others are chains.
bool IsShared(const GemmShape& shape) { return shape.n == 5120; }

bool Launched(Stream& stream, const char* what) {
  const std::string error = stream.TakeError();
  if (error.empty()) return true;
  JsonLine("error").Text("where", what).Text("error", error).Print();
  return false;
}

int Leaves(const GemmShape& shape) { return IsShared(shape) ? kSkinnyLeaves : 1; }

void BenchShape(cudaStream_t stream, const Ceilings& ceilings, const Arena& arena, const GemmShape& shape,
                int64_t m, const DeviceSize& device) {
  const size_t elements = static_cast<size_t>(shape.n * shape.k), copies = kArenaBytes / 2 / elements;
  const int launches = std::clamp(static_cast<int>(1.5e9 / (2.0 * elements)), 3, 24);
  JsonLine line("skinny");
  line.Text("shape", shape.name).Number("m", m).Number("leaves", Leaves(shape));
  for (const Order order : {Order::kAfter, Order::kOverlapping}) {
    const Times times = TimeGraph(stream, launches, 3, [&](int i, cudaStream_t capturing) {
      Stream s(capturing);
      LaunchSkinnyGemm(s, arena.Params(shape, m, elements * (i % copies)), Leaves(shape), device, order);
      return Launched(s, shape.name);
    });
    const bool overlapping = order == Order::kOverlapping;
    line.Number(overlapping ? "pdl_us" : "us", times.median_us)
        .Number(overlapping ? "pdl_of_line" : "of_line", ceilings.LineUs(shape, m) / times.median_us);
  }
  line.Print();
}

// The four GEMMs of a layer, layer after layer: what a decode step's linear part would take.
void BenchLayers(cudaStream_t stream, const Ceilings& ceilings, const Arena& arena, int64_t m,
                 const DeviceSize& device, bool tree) {
  constexpr int kLayers = 4;
  double line_us = 0;
  for (int i = 0; i < 4; ++i) line_us += ceilings.LineUs(kShapes[i], m);
  for (const Order order : {Order::kAfter, Order::kOverlapping}) {
    size_t offset = 0;
    const Times times = TimeGraph(stream, kLayers, 5, [&](int layer, cudaStream_t capturing) {
      if (layer == 0) offset = 0;
      Stream s(capturing);
      for (int i = 0; i < 4; ++i) {
        const int leaves = tree && IsShared(kShapes[i]) ? kSkinnyLeaves : 1;
        LaunchSkinnyGemm(s, arena.Params(kShapes[i], m, offset), leaves, device, order);
        offset += static_cast<size_t>(kShapes[i].n * kShapes[i].k);
      }
      return Launched(s, "layers");
    });
    JsonLine("skinny_layer")
        .Number("m", m)
        .Number("tree", tree)
        .Number("pdl", order == Order::kOverlapping)
        .Number("us", times.median_us)
        .Number("of_line", line_us / times.median_us)
        .Print();
  }
}

}  // namespace

void ProfileSkinny(cudaStream_t stream) {
  const Arena arena;
  if (!arena.ok()) return;
  Randomize(arena.weights.as<__nv_bfloat16>(), kArenaBytes / 2, 11, 0.02f);
  Randomize(arena.x.as<__nv_bfloat16>(), arena.x.bytes() / 2, 12, 1.0f);
  Stream asking(stream);
  const DeviceSize device = ReadDeviceSize(asking);
  for (const int64_t m : {1, 16}) {
    for (const GemmShape& shape : kShapes) {
      Stream s(stream);
      LaunchSkinnyGemm(s, arena.Params(shape, m, 0), Leaves(shape), device);
      if (!s.Synchronize().empty()) return;
      JsonLine("profiled")
          .Text("shape", shape.name)
          .Number("m", m)
          .Number("bytes", 2.0 * shape.n * shape.k)
          .Print();
    }
  }
}

void BenchSkinny(cudaStream_t stream, const Ceilings& ceilings) {
  const Arena arena;
  if (!arena.ok()) return;
  Randomize(arena.weights.as<__nv_bfloat16>(), kArenaBytes / 2, 11, 0.02f);
  Randomize(arena.x.as<__nv_bfloat16>(), arena.x.bytes() / 2, 12, 1.0f);
  Stream asking(stream);
  const DeviceSize device = ReadDeviceSize(asking);
  for (const int64_t m : {1, 4, 8, 16, 32}) {
    for (const bool tree : {true, false}) BenchLayers(stream, ceilings, arena, m, device, tree);
  }
  for (const int64_t m : {1, 4, 8, 16, 32}) {
    for (const GemmShape& shape : kShapes) {
      BenchShape(stream, ceilings, arena, shape, m, device);
    }
  }
}

}  // namespace quire::kernels::cuda::bench
