// Per shape and M: every algorithm that the heuristics offer is timed over weights that rotate through more
// than L2, and run once on equal rows: the bits of row 0 name its order of sums ("order" below). An order
// that every M can have is a candidate for batch invariance.
#include "kernels/cuda/bench/lt_sweep.h"

#include <chrono>
#include <map>
#include <set>

#include "kernels/cuda/lt/lt_matmul.h"

namespace quire::kernels::cuda::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kM[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 8192};
constexpr size_t kArenaBytes = size_t{4} << 30;

struct Timed {
  cublasLtMatmulAlgo_t algo;
  std::string name;
  double us = 0;
  bool split = false;
  uint64_t order = 0;  // 0: rows of equal input differ
};

struct Memory {
  Buffer weights{kArenaBytes};
  Buffer x{size_t{8192} * 27648 * 2}, x_equal{size_t{8192} * 27648 * 2};
  Buffer y{size_t{8192} * 152064 * 2};
  Buffer workspace{kLtWorkspaceBytes}, hashes{8192 * 8};
  bool ok() const {
    return weights.ok() && x.ok() && x_equal.ok() && y.ok() && workspace.ok() && hashes.ok();
  }
};

class ShapeSweep {
 public:
  ShapeSweep(const LtLibrary& lt, cublasLtHandle_t handle, const Memory& memory, cudaStream_t stream,
             const GemmShape& shape)
      : lt_(lt), handle_(handle), memory_(memory), stream_(stream), shape_(shape) {
    Randomize(memory.x_equal.as<__nv_bfloat16>(), 8192 * shape.k, 7, 1.0f, shape.k);
  }

  void Sweep(int64_t m, Clock::time_point deadline) {
    const LtMatmul matmul(lt_, handle_, m, shape_.n, shape_.k);
    if (!matmul.ok()) return;
    std::vector<cublasLtMatmulAlgo_t> algos = matmul.Heuristics(true, 16);
    Add(matmul.Heuristics(false, 16), &algos);
    for (const cublasLtMatmulAlgo_t& algo : algos) {
      if (Clock::now() > deadline && !timed_[m].empty()) break;
      Try(matmul, m, algo);
    }
  }

  // Where an M lacks the order that most share, algorithms of other Ms may have it.
  void FillOrder(uint64_t order, Clock::time_point deadline) {
    std::vector<cublasLtMatmulAlgo_t> pool;
    for (const auto& [m, all] : timed_) {
      for (const Timed& timed : all) {
        if (timed.order == order && !timed.split) Add({timed.algo}, &pool);
      }
    }
    for (auto& [m, all] : timed_) {
      const LtMatmul matmul(lt_, handle_, m, shape_.n, shape_.k);
      int tried = 0;
      for (const cublasLtMatmulAlgo_t& algo : pool) {
        if (Clock::now() > deadline || tried == 12) break;
        const bool known =
            std::any_of(all.begin(), all.end(), [&](const Timed& t) { return SameAlgo(t.algo, algo); });
        if (known || !matmul.Supports(algo)) continue;
        ++tried;
        Try(matmul, m, algo);
      }
    }
  }

  // The order without split-K that the most Ms have; among equals the faster in sum.
  uint64_t CommonOrder() const {
    std::map<uint64_t, std::set<int64_t>> have;
    for (const auto& [m, all] : timed_) {
      for (const Timed& timed : all) {
        if (timed.order != 0 && !timed.split) have[timed.order].insert(m);
      }
    }
    uint64_t best = 0;
    for (const auto& [order, ms] : have) {
      const bool more = best == 0 || ms.size() > have[best].size();
      if (more || (ms.size() == have[best].size() && Sum(order) < Sum(best))) best = order;
    }
    return best;
  }

  void Print(const Ceilings& ceilings, uint64_t common) const {
    for (const auto& [m, all] : timed_) {
      if (all.empty()) continue;
      const Timed& best = *std::min_element(all.begin(), all.end(), Faster);
      const Timed* invariant = Best(all, common);
      const double line = ceilings.LineUs(shape_, m);
      std::set<uint64_t> orders;
      for (const Timed& timed : all) orders.insert(timed.order);
      JsonLine out("cublaslt");
      out.Text("shape", shape_.name)
          .Number("m", m)
          .Number("n", shape_.n)
          .Number("k", shape_.k)
          .Number("line_us", line)
          .Number("first_us", all[0].us)
          .Number("best_us", best.us)
          .Number("invariant_us", invariant == nullptr ? NAN : invariant->us)
          .Number("first_of_line", line / all[0].us)
          .Number("best_of_line", line / best.us)
          .Number("invariant_of_line", invariant == nullptr ? NAN : line / invariant->us)
          .Number("first_is_common_order", all[0].order == common)
          .Number("best_is_common_order", best.order == common)
          .Number("algorithms", all.size())
          .Number("orders", orders.size())
          .Text("first", all[0].name)
          .Text("best", best.name)
          .Text("invariant", invariant == nullptr ? "" : invariant->name)
          .Print();
    }
  }

 private:
  static bool Faster(const Timed& a, const Timed& b) { return a.us < b.us; }
  static void Add(const std::vector<cublasLtMatmulAlgo_t>& from, std::vector<cublasLtMatmulAlgo_t>* to) {
    for (const cublasLtMatmulAlgo_t& algo : from) {
      if (std::none_of(to->begin(), to->end(), [&](const auto& other) { return SameAlgo(algo, other); })) {
        to->push_back(algo);
      }
    }
  }
  static const Timed* Best(const std::vector<Timed>& all, uint64_t order) {
    const Timed* best = nullptr;
    for (const Timed& timed : all) {
      if (timed.order == order && !timed.split && (best == nullptr || timed.us < best->us)) best = &timed;
    }
    return best;
  }
  double Sum(uint64_t order) const {
    double sum = 0;
    for (const auto& [m, all] : timed_) {
      const Timed* best = Best(all, order);
      if (best != nullptr) sum += best->us;
    }
    return sum;
  }

  void Try(const LtMatmul& matmul, int64_t m, const cublasLtMatmulAlgo_t& algo) {
    Timed timed{algo, matmul.Name(algo)};
    timed.split = matmul.Config(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) > 1;
    if (!Order(matmul, m, &timed)) return;
    const size_t bytes = 2ull * shape_.n * shape_.k, copies = kArenaBytes / bytes;
    // Enough work that events are exact, enough weights that L2 holds none of the next ones.
    const double guess = std::max(2.0 * bytes / 3e6 / 2, 2.0 * m * shape_.n * shape_.k / 7e8);
    const int launches = std::clamp(static_cast<int>(1000 / guess), m > 512 ? 2 : 4, 24);
    const Times times = TimeGraph(stream_, launches, m > 512 ? 2 : 3, [&](int i, cudaStream_t stream) {
      const char* weights = memory_.weights.as<char>() + bytes * (i % copies);
      return matmul.Run(algo, weights, memory_.x.as<void>(), memory_.y.as<void>(),
                        memory_.workspace.as<void>(), stream);
    });
    timed.us = times.median_us;
    if (times.ok()) timed_[m].push_back(timed);
  }

  bool Order(const LtMatmul& matmul, int64_t m, Timed* timed) {
    (void)cudaMemsetAsync(memory_.y.as<void>(), 0xff, 2ull * m * shape_.n, stream_);  // NaN
    (void)cudaMemsetAsync(memory_.hashes.as<void>(), 0, 8192 * 8, stream_);
    if (!matmul.Run(timed->algo, memory_.weights.as<void>(), memory_.x_equal.as<void>(), memory_.y.as<void>(),
                    memory_.workspace.as<void>(), stream_)) {
      return false;
    }
    HashRows(memory_.y.as<void>(), m, 2 * shape_.n, memory_.hashes.as<unsigned long long>(), stream_);
    std::vector<unsigned long long> hashes(m);
    (void)cudaMemcpyAsync(hashes.data(), memory_.hashes.as<void>(), m * 8, cudaMemcpyDeviceToHost, stream_);
    if (!Ok(cudaStreamSynchronize(stream_), "cublasLtMatmul")) return false;
    const bool equal =
        std::all_of(hashes.begin(), hashes.end(), [&](auto hash) { return hash == hashes[0]; });
    timed->order = equal ? hashes[0] : 0;
    return true;
  }

  const LtLibrary& lt_;
  const cublasLtHandle_t handle_;
  const Memory& memory_;
  const cudaStream_t stream_;
  const GemmShape shape_;
  std::map<int64_t, std::vector<Timed>> timed_;
};

double SquareFlops(const LtLibrary& lt, cublasLtHandle_t handle, const Memory& memory, cudaStream_t stream) {
  const int64_t n = 8192;
  const LtMatmul matmul(lt, handle, n, n, n);
  double best = std::numeric_limits<double>::quiet_NaN();
  for (const cublasLtMatmulAlgo_t& algo : matmul.Heuristics(true, 8)) {
    const Times times = TimeGraph(stream, 10, 2, [&](int i, cudaStream_t s) {
      return matmul.Run(algo, memory.weights.as<char>() + 2 * n * n * (i % 8), memory.x.as<void>(),
                        memory.y.as<void>(), memory.workspace.as<void>(), s);
    });
    const double flops = 2.0 * n * n * n / times.median_us * 1e6;
    if (!(flops <= best)) best = flops;
    JsonLine("ceiling")
        .Text("name", "gemm_8192_variant")
        .Text("algorithm", matmul.Name(algo))
        .Number("tflops", flops * 1e-12)
        .Print();
  }
  JsonLine("ceiling").Text("name", "gemm_8192").Number("tflops", best * 1e-12).Print();
  return best;
}

}  // namespace

void SweepLt(cudaStream_t stream, Ceilings* ceilings, double seconds) {
  const Clock::time_point start = Clock::now();
  std::string why;
  const auto lt = OpenLtLibrary(&why);
  cublasLtHandle_t handle = nullptr;
  if (lt == nullptr || lt->create(&handle) != CUBLAS_STATUS_SUCCESS) {
    JsonLine("error").Text("where", "cuBLASLt").Text("error", why).Print();
    return;
  }
  JsonLine("cublaslt_version").Number("version", static_cast<double>(lt->version())).Print();
  {
    const Memory memory;
    if (!memory.ok()) return;
    Randomize(memory.weights.as<__nv_bfloat16>(), kArenaBytes / 2, 3, 0.02f);
    Randomize(memory.x.as<__nv_bfloat16>(), memory.x.bytes() / 2, 5, 1.0f);
    ceilings->flops_per_s = SquareFlops(*lt, handle, memory, stream);
    double weight = 0, done = 0;
    for (const GemmShape& shape : kShapes) weight += 1.0 + shape.n * shape.k / 4e8;
    for (const GemmShape& shape : kShapes) {
      const auto at = [&](double part) {
        const double share = (done + part * (1.0 + shape.n * shape.k / 4e8)) / weight;
        return start +
               std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds * share));
      };
      ShapeSweep sweep(*lt, handle, memory, stream, shape);
      for (size_t i = 0; i < std::size(kM); ++i) sweep.Sweep(kM[i], at(0.8 * (i + 1) / std::size(kM)));
      sweep.FillOrder(sweep.CommonOrder(), at(1.0));
      sweep.Print(*ceilings, sweep.CommonOrder());
      done += 1.0 + shape.n * shape.k / 4e8;
    }
  }
  (void)lt->destroy(handle);
  JsonLine("cublaslt_done")
      .Number("seconds", std::chrono::duration<double>(Clock::now() - start).count())
      .Print();
}

}  // namespace quire::kernels::cuda::bench
