#include "cli/serve_options.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace quire::cli {
namespace {

struct PassedOnOption {
  const char* name;
  std::string ServeOptions::*value;
  const char* unit;
  const char* help;
};

constexpr PassedOnOption kPassedOn[] = {
    {"kv-blocks", &ServeOptions::kv_blocks, "BLOCKS",
     "KV-cache blocks of 16 tokens per group; default: what fits"},
    {"max-batch-tokens", &ServeOptions::max_batch_tokens, "TOKENS", "token budget of one step"},
    {"prefill-chunk", &ServeOptions::prefill_chunk, "TOKENS", "largest part of one prompt in a step"},
    {"max-sequences", &ServeOptions::max_sequences, "N", "sequences that run at once in a group"},
    {"admit-headroom", &ServeOptions::admit_headroom, "TOKENS",
     "KV room left to each running request when another is admitted (64)"},
    {"drain-seconds", &ServeOptions::drain_seconds, "SECONDS",
     "how long a group that is told to end lets its streams run (8)"},
    {"threads-per-rank", &ServeOptions::threads_per_rank, "THREADS",
     "compute threads of a rank; default: the cores, shared out among the ranks of all groups"},
    {"rope-scaling", &ServeOptions::rope_scaling, "SPEC", "yarn:FACTOR:ORIGINAL, in place of config.json's"},
    {"prompt-nano-usd", &ServeOptions::prompt_nano_usd, "NANO-USD", "price of a prompt token (75)"},
    {"cached-prompt-nano-usd", &ServeOptions::cached_prompt_nano_usd, "NANO-USD",
     "price of a cached prompt token (75)"},
    {"completion-nano-usd", &ServeOptions::completion_nano_usd, "NANO-USD",
     "price of a completion token (150)"},
    {"max-queue", &ServeOptions::max_queue, "REQUESTS", "bound of the waiting queue"},
};

}  // namespace

void ServeOptions::Declare(Options& options) {
  options.Add("model", &model, "DIR", "a Qwen2 or Llama model in Hugging Face form");
  options.Require("model");
  options.Add("model-name", &model_name, "NAME", "what clients call it; default: the folder's name");
  options.Add(
      "tensor-parallel", &tensor_parallel, "RANKS",
      "processes that share one model, 1 to 64; auto = one for each NUMA node, with that node's cores, as "
      "far as the model can be split");
  options.Add("groups", &groups, "GROUPS", "replicas of the model", {1, 64});
  options.Add("host", &host, "HOST", "address of the API; the admin API stays on loopback");
  options.Add("port", &port, "PORT", "port of the API, 0 = any", {0, 65535});
  options.Add("cors-origin", &cors_origin, "ORIGINS",
              "whose pages may call the API from a browser: *, none, or a list with commas");
  options.Add(
      "drain-delay-ms", &drain_delay_ms, "ms",
      "after SIGTERM: how long new connections are still served, for a load balancer before this machine",
      {0, 3'600'000});
  options.Add("admin-port", &admin_port, "PORT", "port of the admin API, 0 = any", {0, 65535});
  options.Add("data", &data, "DIR", "ledger, keys and logs; made if missing");
  options.Add("ready-file", &ready_file, "FILE",
              "written when ready: JSON with url, api_key, admin_url, admin_key");
  for (const PassedOnOption& option : kPassedOn) {
    options.Add(option.name, &(this->*option.value), option.unit, option.help);
  }
  log.DeclareLimits(options);
}

absl::StatusOr<int64_t> ServeOptions::Ranks() const {
  constexpr int64_t kMostRanks = 64;
  if (tensor_parallel == "auto") return 0;
  int64_t ranks = 0;
  if (absl::SimpleAtoi(tensor_parallel, &ranks) && ranks >= 1 && ranks <= kMostRanks) return ranks;
  return absl::InvalidArgumentError(absl::StrCat("--tensor-parallel: '", tensor_parallel,
                                                 "' is neither auto nor a number in 1..", kMostRanks));
}

std::vector<std::string> ServeOptions::PassedOn() const {
  std::vector<std::string> flags;
  for (const PassedOnOption& option : kPassedOn) {
    const std::string& value = this->*option.value;
    if (!value.empty()) flags.push_back(std::string("--") + option.name + "=" + value);
  }
  return flags;
}

}  // namespace quire::cli
