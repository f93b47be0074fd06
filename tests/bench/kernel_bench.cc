// How close the CPU kernels come to the machine: matmuls of SmolLM2-135M's shapes and attention, each with
// the share of its nearer line (memory or bf16 arithmetic, that of AMX for its matmuls; measured right before
// and after it) in column `line%`; and picking a step's tokens from logits of 49k and 152k ids, by the usual
// ways of sampling.
//   quire-kernel-bench --threads 2 [--isa avx2] [--weights int8] [--benchmark_filter=REGEX]
//   quire-kernel-bench --ceilings      prints the lines alone, as JSON, for other benches
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <random>

#include "base/core/log_options.h"
#include "base/core/options.h"
#include "kernels/backend_factory.h"
#include "kernels/bf16.h"
#include "kernels/int8_rows.h"
#include "kernels/test_step.h"
#include "tests/bench/machine_ceilings.h"

namespace quire::bench {
namespace {

using kernels::Backend;
using kernels::DType;
using kernels::MatrixId;
using kernels::Tensor;

// Far more than the last-level cache holds, so that weights and pages come from memory as in a real step.
constexpr int64_t kWorkingSet = int64_t{192} << 20;

struct Setup {
  kernels::BackendOptions backend;
  std::string weights = "bf16";
  CeilingMeter* meter = nullptr;
  bool cpu_time = false;
};

std::vector<uint16_t> RandomBf16(int64_t count) {
  std::mt19937 random(1);
  std::vector<uint16_t> out(count);
  for (uint16_t& value : out) value = kernels::FloatToBf16(static_cast<float>(random() % 2001) / 1000 - 1);
  return out;
}

Tensor Filled(Backend& backend, DType dtype, int64_t rows, int64_t cols) {
  const Tensor out = backend.Allocate(dtype, rows, cols).value();
  const std::vector<uint16_t> values = RandomBf16(cols);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < cols; ++c) {
      if (dtype == DType::kBf16) out.bf16(row)[c] = values[(c + row) % cols];
      if (dtype == DType::kF32) out.f32(row)[c] = kernels::Bf16ToFloat(values[(c + row) % cols]);
    }
  }
  return out;
}

// Runs `body` as the benchmark's iteration and reports it against the lines of reading and of `arithmetic`;
// bytes and flops are per iteration.
template <typename Body>
void RunAgainstLines(benchmark::State& state, const Setup& setup, double Ceilings::*arithmetic, double bytes,
                     double flops, const Body& body) {
  body();
  const Ceilings before = setup.meter->Measure();
  const double start = Now(setup.cpu_time);
  for (auto _ : state) body();
  const double elapsed = Now(setup.cpu_time) - start;
  const Ceilings after = setup.meter->Measure();
  const double seconds = elapsed / static_cast<double>(state.iterations());
  const double read = std::max(before.read_gb_s, after.read_gb_s);
  const double peak = std::max(before.*arithmetic, after.*arithmetic);
  state.counters["GB/s"] = bytes / seconds / 1e9;
  state.counters["GF/s"] = flops / seconds / 1e9;
  const double compute_s = peak > 0 ? flops / peak / 1e9 : 0;  // no such line on every machine
  state.counters["line%"] = 100 * std::max(bytes / read / 1e9, compute_s) / seconds;
  state.counters["readGB/s"] = read;
  state.counters["peakGF/s"] = peak;
}

// Of bf16 weights, or of the same made int8.
MatrixId Add(Backend& backend, std::span<const kernels::HostMatrix> parts, int64_t k, int64_t leaves,
             bool int8) {
  const auto kind = parts.size() == 2 ? kernels::MatrixKind::kGateUp : kernels::MatrixKind::kPlain;
  if (!int8) return backend.AddMatrix(parts, k, kind, leaves).value();
  std::vector<kernels::Int8Rows> made;
  std::vector<kernels::HostMatrix> matrices;
  for (const kernels::HostMatrix& part : parts) {
    made.push_back(kernels::QuantizeRows(part, k, kernels::Int8GroupOf(k, leaves), 1).value());
  }
  for (const kernels::Int8Rows& part : made) matrices.push_back(part.matrix());
  return backend.AddMatrix(matrices, k, kind, leaves).value();
}

void Matmul(benchmark::State& state, const Setup& setup, int64_t n, int64_t k, bool gate_up, int64_t leaves,
            int64_t m) {
  auto backend = kernels::MakeBackend(setup.backend).value();
  const bool int8 = setup.weights == "int8";
  const int64_t bytes = kernels::MatrixBytes(n, k, int8 ? kernels::Int8GroupOf(k, leaves) : 0);
  const int64_t copies = std::max<int64_t>(1, kWorkingSet / bytes);
  const std::vector<uint16_t> weights = RandomBf16(n * k);
  std::vector<MatrixId> matrices;
  for (int64_t i = 0; i < copies; ++i) {
    const int64_t rows = gate_up ? n / 2 : n;
    const kernels::HostMatrix parts[] = {{weights.data(), rows, k}, {weights.data() + rows * k, rows, k}};
    matrices.push_back(Add(*backend, {parts, gate_up ? size_t{2} : size_t{1}}, k, leaves, int8));
  }
  const Tensor x = Filled(*backend, DType::kBf16, m, k);
  const Tensor out = backend->Allocate(gate_up ? DType::kBf16 : DType::kF32, m, gate_up ? n / 2 : n).value();
  const double elements = static_cast<double>(n * k * copies);
  const auto bf16 = backend->family() == "cpu-bf16-2" ? &Ceilings::amx_gflop_s : &Ceilings::bf16_gflop_s;
  const auto arithmetic = int8 ? &Ceilings::int8_gop_s : bf16;
  RunAgainstLines(state, setup, arithmetic, static_cast<double>(bytes * copies),
                  2 * elements * static_cast<double>(m), [&] {
                    for (const MatrixId matrix : matrices) {
                      if (gate_up) {
                        backend->MatmulSiluMul(x, matrix, out);
                      } else {
                        backend->Matmul(x, matrix, kernels::kNoBias, out);
                      }
                    }
                  });
}

struct AttentionShape {
  int64_t sequences, rows, context;  // each sequence computes its last `rows` tokens of `context`
};

// SmolLM2's heads: 9 query, 3 KV, of 64; layers are repeated until the pages exceed the caches.
void Attention(benchmark::State& state, const Setup& setup, AttentionShape shape) {
  const int64_t heads = 9, kv_heads = 3, dim = 64, blocks_each = (shape.context + 15) / 16;
  const int64_t layer_bytes = shape.sequences * blocks_each * 16 * kv_heads * dim * 4;
  const int64_t layers = std::clamp<int64_t>(kWorkingSet / layer_bytes, 1, 400);
  auto backend = kernels::MakeBackend(setup.backend).value();
  const int64_t blocks = shape.sequences * blocks_each;
  const kernels::KvShape kv{layers, blocks, kv_heads, dim, heads};
  if (!backend->CreateKvCache(kv).ok()) return state.SkipWithError("no KV cache");
  const auto rope = backend->AddRope(std::vector<double>(dim / 2, 0.01), 1, shape.context + 1).value();
  std::vector<int32_t> ids(blocks);
  for (int64_t i = 0; i < blocks; ++i) ids[i] = static_cast<int32_t>(i);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(1));

  const auto plan = [&](int64_t rows, int64_t position) {
    std::vector<kernels::SequenceRows> out;
    for (int64_t i = 0; i < shape.sequences; ++i) {
      out.push_back(
          {i * rows, rows, position, {ids.data() + i * blocks_each, static_cast<size_t>(blocks_each)}, rope});
    }
    return out;
  };
  const auto fill = plan(shape.context, 0);
  const Tensor qkv =
      Filled(*backend, DType::kF32, shape.sequences * shape.context, (heads + 2 * kv_heads) * dim);
  const Tensor q = backend->Allocate(DType::kBf16, qkv.rows, heads * dim).value();
  const Tensor out = backend->Allocate(DType::kBf16, qkv.rows, heads * dim).value();
  kernels::BeginTestStep(*backend, fill);
  for (int64_t layer = 0; layer < layers; ++layer) backend->RopeAndStore(qkv, layer, {}, q);
  kernels::BeginTestStep(*backend, plan(shape.rows, shape.context - shape.rows));
  const int64_t first = shape.context - shape.rows;
  const double keys = static_cast<double>(shape.rows) * static_cast<double>(first) +
                      static_cast<double>(shape.rows * (shape.rows + 1)) / 2;
  const double flops = keys * 4 * dim * heads * static_cast<double>(shape.sequences * layers);
  RunAgainstLines(state, setup, &Ceilings::bf16_gflop_s, static_cast<double>(layer_bytes * layers), flops,
                  [&] {
                    for (int64_t layer = 0; layer < layers; ++layer) backend->Attention(q, layer, out);
                  });
}

// Logits are spread like a model's; a row's noise is its own.
void Sampling(benchmark::State& state, const Setup& setup, int64_t ids, int64_t rows,
              const kernels::SamplingParams& params) {
  auto backend = kernels::MakeBackend(setup.backend).value();
  if (!backend->ReserveStep({.wanted_rows = rows, .sampled_ids = ids}).ok()) {
    return state.SkipWithError("no room");
  }
  const Tensor logits = backend->Allocate(DType::kF32, rows, ids).value();
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 2.5f);
  std::vector<kernels::SampleSpec> specs(rows);
  std::vector<const kernels::SampleSpec*> pointers;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t id = 0; id < ids; ++id) logits.f32(row)[id] = normal(random);
    specs[row].params = params;
    specs[row].position = static_cast<uint32_t>(row);
    pointers.push_back(&specs[row]);
  }
  const double values = static_cast<double>(rows * ids);
  RunAgainstLines(state, setup, &Ceilings::bf16_gflop_s, 4 * values, 0, [&] {
    backend->Sample(logits, pointers, {});
    benchmark::DoNotOptimize(backend->ReadSampled().value().data());
  });
}

void RegisterSampling(const Setup& setup) {
  struct Way {
    const char* name;
    kernels::SamplingParams params;
  };
  const Way ways[] = {{"greedy", {.temperature = 0}},
                      {"t0.6 top_k20 top_p0.95", {.temperature = 0.6f, .top_k = 20, .top_p = 0.95f}},
                      {"t0.6", {.temperature = 0.6f}},
                      {"t0.6 top_p0.95", {.temperature = 0.6f, .top_p = 0.95f}},
                      {"t1 top_p0.95", {.temperature = 1.0f, .top_p = 0.95f}},
                      {"t1 top_k5000", {.temperature = 1.0f, .top_k = 5000}},
                      {"greedy logprobs", {.temperature = 0, .logprobs = true}}};
  for (const int64_t ids : {49152, 152064}) {
    for (const int64_t rows : {1, 32}) {
      for (const Way& way : ways) {
        const std::string name =
            "sample/V" + std::to_string(ids) + "/B" + std::to_string(rows) + "/" + way.name;
        benchmark::RegisterBenchmark(name.c_str(),
                                     [&setup, ids, rows, params = way.params](benchmark::State& state) {
                                       Sampling(state, setup, ids, rows, params);
                                     })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

void RegisterAll(const Setup& setup) {
  struct Shape {
    const char* name;
    int64_t n, k;
    bool gate_up;
    int64_t leaves = 1;
  };
  const Shape shapes[] = {{"qkv", 960, 576, false},
                          {"o", 576, 576, false},
                          {"gate_up", 3072, 576, true},
                          {"down", 576, 1536, false},
                          {"lm_head", 49152, 576, false},
                          {"o of 2048", 2048, 2048, false},
                          {"o of 2048, 8 leaves", 2048, 2048, false, 8},
                          {"down of 5120", 5120, 6912, false},
                          {"down of 5120, 8 leaves", 5120, 6912, false, 8}};
  for (const Shape& shape : shapes) {
    for (const int64_t m : {1, 2, 4, 8, 16, 32, 128, 512}) {
      const std::string name = std::string("matmul/") + shape.name + "/M" + std::to_string(m);
      benchmark::RegisterBenchmark(name.c_str(),
                                   [&setup, shape, m](benchmark::State& state) {
                                     Matmul(state, setup, shape.n, shape.k, shape.gate_up, shape.leaves, m);
                                   })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
  for (const AttentionShape& shape :
       {AttentionShape{1, 1, 192}, AttentionShape{1, 1, 2048}, AttentionShape{8, 1, 192},
        AttentionShape{32, 1, 192}, AttentionShape{32, 1, 1024}, AttentionShape{1, 512, 512},
        AttentionShape{1, 256, 4096}}) {
    const std::string name = "attention/S" + std::to_string(shape.sequences) + "/rows" +
                             std::to_string(shape.rows) + "/context" + std::to_string(shape.context);
    benchmark::RegisterBenchmark(name.c_str(),
                                 [&setup, shape](benchmark::State& state) { Attention(state, setup, shape); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  int64_t threads = 2, spin_us = 50;
  Setup setup;
  Options options("quire-kernel-bench", "Measures the CPU kernels against this machine's own lines.");
  options.Add("threads", &threads, "N", "compute threads", {.min = 1, .max = 256});
  options.Add("spin-us", &spin_us, "us", "how long idle compute threads spin", {.min = 0, .max = 1'000'000});
  options.Add("isa", &setup.backend.isa, "NAME", "auto, avx2, avx512 or amx");
  options.Add("weights", &setup.weights, "bf16|int8", "of the matmuls");
  options.Add("cpu-time", &setup.cpu_time,
              "count CPU time, not wall time: for a busy machine, with --threads 1");
  bool ceilings_only = false;
  options.Add("ceilings", &ceilings_only, "print this machine's lines as JSON and stop");
  if (const int code = ParseOrExitCode(options, argc, argv); code >= 0) return code;
  InitLogging("kernel-bench", LogOptions());  // to stderr: stdout is for the numbers
  setup.backend.threads = static_cast<int>(threads);
  setup.backend.spin_us = static_cast<int>(spin_us);
  if (const auto backend = kernels::MakeBackend(setup.backend); !backend.ok()) {
    std::fprintf(stderr, "quire-kernel-bench: %s\n", std::string(backend.status().message()).c_str());
    return 1;
  }
  CeilingMeter meter(setup.backend.threads, setup.cpu_time);
  setup.meter = &meter;
  const Ceilings now = meter.Measure();
  if (ceilings_only) {
    std::printf(
        "{\"read_bytes_per_s\": %.0f, \"bf16_flop_per_s\": %.0f, \"amx_flop_per_s\": %.0f, "
        "\"int8_op_per_s\": %.0f}\n",
        now.read_gb_s * 1e9, now.bf16_gflop_s * 1e9, now.amx_gflop_s * 1e9, now.int8_gop_s * 1e9);
    return 0;
  }
  std::printf("lines of this machine, %d threads: read %.1f GB/s, bf16 %.0f GFLOP/s", setup.backend.threads,
              now.read_gb_s, now.bf16_gflop_s);
  if (now.int8_gop_s > 0) std::printf(", int8 %.0f GOP/s", now.int8_gop_s);
  if (now.amx_gflop_s > 0) std::printf(", AMX %.0f GFLOP/s", now.amx_gflop_s);
  std::printf("\n");
  RegisterAll(setup);
  RegisterSampling(setup);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) { return quire::bench::Main(argc, argv); }
