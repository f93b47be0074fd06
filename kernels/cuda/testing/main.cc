// quire-cuda-check: runs the kernels on this machine's GPU.
//   quire-cuda-check check [--small] [--out FILE]   every kernel against fp64; --small for compute-sanitizer
//   quire-cuda-check bench [--once] [--out FILE]    timings beside the device's lines; --once for a profiler
// --only SUITE runs one suite.
// One JSON object a line, to stdout and FILE, as results come; a failed check does not end the run, but the
// exit code says it.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>

#include "kernels/cuda/bench/said_version.h"
#include "kernels/cuda/testing/bench.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {
namespace {

struct Suite {
  const char* name;
  void (*check)(Checker&);
  void (*bench)(Bench&);
};
constexpr Suite kSuites[] = {
    {"rows", CheckRows, BenchRows},
    {"rope", CheckRope, BenchRope},
    {"attention-products", CheckAttentionProducts, nullptr},
    {"attention", CheckAttention, BenchAttention},
    {"attention-long", CheckLongAttention, nullptr},
};

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c < ' ' ? ' ' : c;
  }
  return out + "\"";
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return std::strchr(text, 'n') != nullptr ? "null" : text;  // nan, inf
}

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

class Report {
 public:
  Report(std::string device, const char* path) : device_(std::move(device)) {
    if (path != nullptr) file_.open(path, std::ios::app);
  }
  void Line(const std::string& fields) {
    const std::string line = "{\"device\": " + Quoted(device_) + ", " + fields + "}";
    std::cout << line << std::endl;
    if (file_.is_open()) file_ << line << std::endl;
  }

 private:
  std::string device_;
  std::ofstream file_;
};

int RunChecks(Report& report, bool small, std::string_view only) {
  int failed = 0;
  const Clock::time_point begin = Clock::now();
  for (const Suite& suite : kSuites) {
    if (suite.check == nullptr || (!only.empty() && only != suite.name)) continue;
    Checker checker(small, 100, [&](const CheckResult& result) {
      failed += result.ok() ? 0 : 1;
      report.Line("\"what\": \"check\", \"suite\": " + Quoted(suite.name) +
                  ", \"kernel\": " + Quoted(result.kernel) + ", \"shape\": " + Quoted(result.shape) +
                  ", \"ok\": " + (result.ok() ? "true" : "false") + ", \"error\": " + Number(result.error) +
                  ", \"limit\": " + Number(result.limit) + ", \"seconds\": " + Number(SecondsSince(begin)) +
                  (result.note.empty() ? "" : ", \"note\": " + Quoted(result.note)));
    });
    report.Line("\"what\": \"suite\", \"suite\": " + Quoted(suite.name) +
                ", \"seconds\": " + Number(SecondsSince(begin)));
    suite.check(checker);
  }
  return failed;
}

int RunBenches(Report& report, bool once, std::string_view only) {
  int failed = 0;
  std::string name = "lines";
  Bench bench(once, [&](const Timing& t) {
    failed += t.error.empty() ? 0 : 1;
    report.Line("\"what\": \"bench\", \"suite\": " + Quoted(name) + ", \"kernel\": " + Quoted(t.kernel) +
                ", \"shape\": " + Quoted(t.shape) + ", \"us\": " + Number(t.us) + ", \"us_p10\": " +
                Number(t.us_p10) + ", \"us_p90\": " + Number(t.us_p90) + ", \"bytes\": " + Number(t.bytes) +
                ", \"flops\": " + Number(t.flops) + ", \"gb_per_s\": " + Number(t.bytes / t.us * 1e-3) +
                ", \"tflops\": " + Number(t.flops / t.us * 1e-6) + ", \"fraction_of_line\": " +
                Number(t.line / t.us) + (t.error.empty() ? "" : ", \"error\": " + Quoted(t.error)));
  });
  if (!once) MeasureMemoryLines(bench);
  for (const Suite& suite : kSuites) {
    if (suite.bench == nullptr || (!only.empty() && only != suite.name)) continue;
    name = suite.name;
    suite.bench(bench);
  }
  return failed;
}

int Main(int argc, char** argv) {
  bool small = false, once = false;
  const char* path = nullptr;
  std::string_view command, only;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--small") {
      small = true;
    } else if (word == "--once") {
      once = true;
    } else if (word == "--out" && i + 1 < argc) {
      path = argv[++i];
    } else if (word == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else if (command.empty() && (word == "check" || word == "bench")) {
      command = word;
    } else {
      command = "";
      break;
    }
  }
  if (command.empty()) {
    std::cerr << "usage: quire-cuda-check check|bench [--small] [--once] [--only SUITE] [--out FILE]\n";
    return 2;
  }
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, 0); error != cudaSuccess) {
    std::cerr << "quire-cuda-check: no usable GPU: " << cudaGetErrorString(error) << "\n";
    return 2;
  }
  Report report(properties.name, path);
  const int failed = command == "check" ? RunChecks(report, small, only) : RunBenches(report, once, only);
  report.Line("\"what\": \"end\", \"command\": " + Quoted(std::string(command)) +
              ", \"failed\": " + std::to_string(failed));
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace quire::kernels::cuda

int main(int argc, char** argv) {
  return quire::kernels::cuda::SaidVersion(argc, argv) ? 0 : quire::kernels::cuda::Main(argc, argv);
}
