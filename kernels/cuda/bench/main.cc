// quire-cuda-gemm: checks and times the GEMMs and the device's lines. Parts: check,
// ceilings, skinny, cublaslt (these by default), same, small (for
// compute-sanitizer), profile (for ncu). JSON lines on stdout; exit code 1
// where a check failed.
#include <cstdlib>
#include <set>

#include "kernels/cuda/bench/ceilings.h"
#include "kernels/cuda/bench/lt_sweep.h"
#include "kernels/cuda/bench/said_version.h"
#include "kernels/cuda/bench/skinny_bench.h"

int main(int argc, char** argv) {
  namespace bench = quire::kernels::cuda::bench;
  if (quire::kernels::cuda::SaidVersion(argc, argv)) return 0;
  std::set<std::string> parts(argv + 1, argv + argc);
  if (parts.empty()) parts = {"check", "ceilings", "skinny", "cublaslt"};
  cudaStream_t stream = nullptr;
  if (!bench::Ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate")) return 1;
  bool ok = true;
  if (parts.contains("check")) ok = bench::CheckSkinny(stream, false) && ok;
  if (parts.contains("small")) ok = bench::CheckSkinny(stream, true) && ok;
  bench::Ceilings ceilings;
  if (parts.contains("ceilings")) ceilings = bench::MeasureMemory(stream);
  if (parts.contains("skinny")) bench::BenchSkinny(stream, ceilings);
  if (parts.contains("cublaslt")) bench::SweepLt(stream, &ceilings, 32);
  if (parts.contains("profile")) bench::ProfileSkinny(stream);
  if (parts.contains("same")) bench::CompareWithChain(stream);
  bench::JsonLine("done").Flag("ok", ok).Print();
  return ok ? 0 : 1;
}
