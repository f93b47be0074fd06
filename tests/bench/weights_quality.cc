// What `--weights int8` costs in quality: over each position of a text, the next token's distribution by a
// model in int8 beside that by the same model in bf16. Prints one line of JSON:
//   greedy_agreement  positions where both hold the same token for the likeliest
//   kl_nats           mean of KL(bf16 || int8)
//   perplexity_*      of the text
//   quire-weights-quality --model DIR --text FILE [--text FILE ...] [--positions 2048] [--window 256]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/log_options.h"
#include "base/core/options.h"
#include "base/core/status.h"
#include "gateway/text/tokenizer.h"
#include "kernels/backend_factory.h"
#include "tests/golden/rank_threads.h"
#include "worker/parallel/thread_communicator.h"

namespace quire::bench {
namespace {

struct Setup {
  std::string model, isa = "auto";
  std::vector<std::string> texts;
  int64_t positions = 2048, window = 256, threads = 2;

  void Declare(Options& options) {
    options.Add("model", &model, "DIR", "Hugging Face folder of the model");
    options.Require("model");
    options.AddList("text", &texts, "FILE", "what is read; several are read one after another");
    options.Add("positions", &positions, "N", "tokens of it that count", {.min = 2, .max = 1 << 20});
    options.Add("window", &window, "tokens", "after which the model begins anew", {.min = 2, .max = 4096});
    options.Add("threads", &threads, "N", "compute threads", {.min = 1, .max = 256});
    options.Add("isa", &isa, "NAME", "as the worker's");
  }
};

struct Sums {
  int64_t positions = 0, same = 0;
  double kl = 0, loss_bf16 = 0, loss_int8 = 0;
};

// Log-probabilities of one row of logits.
std::vector<double> LogProbabilities(std::span<const float> logits) {
  const float most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - most);
  std::vector<double> out;
  out.reserve(logits.size());
  for (const float logit : logits) out.push_back(double{logit} - most - std::log(sum));
  return out;
}

void AddRow(std::span<const float> bf16, std::span<const float> int8, int32_t next, Sums& sums) {
  const std::vector<double> p = LogProbabilities(bf16), q = LogProbabilities(int8);
  for (size_t i = 0; i < p.size(); ++i) sums.kl += std::exp(p[i]) * (p[i] - q[i]);
  sums.same +=
      std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin();
  sums.loss_bf16 -= p[next];
  sums.loss_int8 -= q[next];
  ++sums.positions;
}

absl::StatusOr<std::vector<int32_t>> ReadIds(const Setup& setup) {
  QUIRE_ASSIGN_OR_RETURN(const std::string json, ReadWholeFile(setup.model + "/tokenizer.json"));
  QUIRE_ASSIGN_OR_RETURN(const auto tokenizer, gateway::Tokenizer::Create(json, ""));
  std::vector<int32_t> ids;
  for (const std::string& name : setup.texts) {
    QUIRE_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(name));
    QUIRE_ASSIGN_OR_RETURN(const auto more, tokenizer->Encode(text, gateway::Origin::kUser));
    ids.insert(ids.end(), more.begin(), more.end());
  }
  if (ids.size() < 2) return absl::InvalidArgumentError("give --text a file with more than a token of text");
  return ids;
}

absl::StatusOr<std::unique_ptr<golden::RankModel>> Load(const Setup& setup, const std::string& weights,
                                                        worker::ThreadGroup& alone) {
  const auto make = [&] {
    return kernels::MakeBackend({.threads = static_cast<int>(setup.threads),
                                 .spin_us = 50,
                                 .isa = kernels::IsaFor(weights, setup.isa)});
  };
  return golden::RankModel::Load({.model_dir = setup.model,
                                  .rope_scaling = "",
                                  .ranks = 1,
                                  .max_tokens = setup.window,
                                  .make_device = golden::OnHost(make),
                                  .weights = weights},
                                 *alone.MakeRendezvous(0));
}

absl::Status Run(const Setup& setup) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ReadIds(setup));
  worker::ThreadGroup first(1), second(1);
  QUIRE_ASSIGN_OR_RETURN(const auto bf16, Load(setup, "bf16", first));
  QUIRE_ASSIGN_OR_RETURN(const auto int8, Load(setup, "int8", second));
  const auto vocab = static_cast<size_t>(bf16->config().vocab);
  if (setup.window > bf16->config().plain_context) {
    return absl::InvalidArgumentError(
        absl::StrCat("--window: the model has ", bf16->config().plain_context, " positions"));
  }
  if (*std::ranges::max_element(ids) >= bf16->config().vocab) {
    return absl::InvalidArgumentError("tokenizer.json has ids that the model's vocabulary has not");
  }
  Sums sums;
  for (size_t at = 0; at + 1 < ids.size() && sums.positions < setup.positions; at += setup.window) {
    const size_t count = std::min({static_cast<size_t>(setup.window), ids.size() - 1 - at,
                                   static_cast<size_t>(setup.positions - sums.positions)});
    const auto window = std::span(ids).subspan(at, count);
    std::vector<int64_t> rows(count);
    std::iota(rows.begin(), rows.end(), 0);
    const golden::Chunks whole{static_cast<int64_t>(count), 0};
    QUIRE_ASSIGN_OR_RETURN(const std::vector<float> p, bf16->Logits(window, rows, whole));
    QUIRE_ASSIGN_OR_RETURN(const std::vector<float> q, int8->Logits(window, rows, whole));
    for (size_t row = 0; row < count; ++row) {
      AddRow(std::span(p).subspan(row * vocab, vocab), std::span(q).subspan(row * vocab, vocab),
             ids[at + row + 1], sums);
    }
  }
  const auto count = static_cast<double>(sums.positions);
  std::printf(
      "{\"positions\": %ld, \"greedy_agreement\": %.4f, \"kl_nats\": %.6f, \"perplexity_bf16\": %.4f, "
      "\"perplexity_int8\": %.4f, \"weight_mib_bf16\": %ld, \"weight_mib_int8\": %ld}\n",
      static_cast<long>(sums.positions), static_cast<double>(sums.same) / count, sums.kl / count,
      std::exp(sums.loss_bf16 / count), std::exp(sums.loss_int8 / count),
      static_cast<long>(bf16->weight_bytes() >> 20), static_cast<long>(int8->weight_bytes() >> 20));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Setup setup;
  Options options("quire-weights-quality", "How far a model in int8 is from itself in bf16, over a text.");
  setup.Declare(options);
  if (const int code = ParseOrExitCode(options, argc, argv); code >= 0) return code;
  InitLogging("weights-quality", LogOptions());
  if (const absl::Status status = Run(setup); !status.ok()) {
    std::fprintf(stderr, "quire-weights-quality: %s\n", MessageOf(status).c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) { return quire::bench::Main(argc, argv); }
