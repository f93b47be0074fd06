// quire-cuda-step: the whole step of a model with generated weights on this machine's GPU.
//   quire-cuda-step [--shape qwq|tiny] [--parts check,brief,decode,prefill] [--no-lt] [--out FILE]
// qwq (QwQ-32B, 65.5 GB) takes about a minute on an 80 GB device; tiny a second, beside fp64, for
// compute-sanitizer too (`brief` for its racecheck: three steps). --no-lt leaves cuBLASLt alone: the decode
// GEMM then takes all rows, 32 at a time.
// One JSON object a line, to stdout and FILE, as results come; a failed check does not end the run, but the
// exit code says it.
#include <chrono>
#include <cstring>
#include <set>
#include <string>

#include "kernels/cuda/bench/said_version.h"
#include "kernels/cuda/lt/lt_products.h"
#include "kernels/cuda/step/testing/step_run.h"

namespace quire::kernels::cuda {
namespace {

const char kHelp[] =
    "quire-cuda-step [--shape qwq|tiny] [--parts check,brief,decode,prefill] [--no-lt] [--out FILE]\n"
    "The whole step of a model with generated weights on this machine's GPU: checks and times, JSON lines.\n";

std::set<std::string> Split(const std::string& list) {
  std::set<std::string> parts;
  size_t begin = 0;
  while (begin <= list.size()) {
    const size_t end = std::min(list.find(',', begin), list.size());
    parts.insert(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

struct Arguments {
  bool tiny = false, lt = true, help = false, wrong = false;
  std::set<std::string> parts = {"check", "decode", "prefill"};
  const char* out = nullptr;
};

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (argument == "--help") {
      arguments.help = true;
    } else if (argument == "--no-lt") {
      arguments.lt = false;
    } else if (argument == "--shape" && (value == "qwq" || value == "tiny")) {
      arguments.tiny = value == "tiny";
      ++i;
    } else if (argument == "--parts" && !value.empty()) {
      arguments.parts = Split(value);
      ++i;
    } else if (argument == "--out" && !value.empty()) {
      arguments.out = argv[++i];
    } else {
      arguments.wrong = true;
    }
  }
  return arguments;
}

int Main(int argc, char** argv) {
  const Arguments arguments = Parse(argc, argv);
  if (arguments.help || arguments.wrong) {
    (void)std::fputs(kHelp, arguments.wrong ? stderr : stdout);
    return arguments.wrong ? 2 : 0;
  }
  const auto begin = std::chrono::steady_clock::now();
  StepReport report(arguments.out);
  cudaStream_t handle = nullptr;
  if (!bench::Ok(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "cudaStreamCreate")) return 1;
  const auto print = [&report](const LtChoice& choice) {
    const LtShape& shape = choice.shape;
    const double flops = 2.0 * shape.m * shape.n * shape.k * shape.leaves;
    report.Print(bench::JsonLine("algorithm")
                     .Number("m", shape.m)
                     .Number("n", shape.n)
                     .Number("k", shape.k)
                     .Number("leaves", shape.leaves)
                     .Number("candidates", choice.candidates)
                     .Flag("chain", !choice.algorithm.empty())
                     .Number("us", choice.us)
                     .Number("tflops", choice.us > 0 ? flops / choice.us * 1e-6 : 0)
                     .Text("algorithm", choice.algorithm));
  };
  std::string why;
  std::shared_ptr<LtChoices> lt;
  if (arguments.lt) {
    LtCalls calls = OpenLt([](Stream& stream) { return stream.handle(); }, &why);
    if (calls.open) lt = std::make_shared<LtChoices>(std::move(calls), LtChoicesOptions{.chose = print});
    if (lt == nullptr) report.Good("cuBLASLt: " + why, "start");
  }
  StepRun run(report, handle, lt);
  const bool ok = arguments.tiny ? run.Tiny(arguments.parts) : run.Large(arguments.parts);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  report.Print(bench::JsonLine("done").Flag("ok", ok).Number("seconds", seconds));
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace quire::kernels::cuda

int main(int argc, char** argv) {
  return quire::kernels::cuda::SaidVersion(argc, argv) ? 0 : quire::kernels::cuda::Main(argc, argv);
}
