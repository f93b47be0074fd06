#include "cli/serve_options.h"

#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/model_name.h"
#include "base/core/status.h"

namespace quire::cli {
namespace {

using Program = ServeOptions::Program;

// Who gets an option: kWorkers, the workers by the coordinator, and beforehand the check, which asks them
// whether they can do with it.
enum class Takers { kCoordinator, kWorkers, kCheck, kGateway };

bool Takes(Program program, Takers takers) {
  switch (program) {
    case Program::kCoordinator:
      return takers == Takers::kCoordinator || takers == Takers::kWorkers;
    case Program::kCheck:
      return takers == Takers::kCheck || takers == Takers::kWorkers;
    case Program::kGateway:
      return takers == Takers::kGateway;
  }
  return false;
}

struct PassedOnOption {
  const char* name;
  std::string ServeOptions::*value;
  const char* unit;
  const char* help;
  Takers takers = Takers::kCoordinator;
  const char* its_name = nullptr;  // if the program knows it by another
};

constexpr PassedOnOption kPassedOn[] = {
    {"kv-blocks", &ServeOptions::kv_blocks, "BLOCKS",
     "KV-cache blocks of 16 tokens per group; default: what fits", Takers::kWorkers},
    {"max-batch-tokens", &ServeOptions::max_batch_tokens, "TOKENS", "token budget of one step",
     Takers::kWorkers},
    {"prefill-chunk", &ServeOptions::prefill_chunk, "TOKENS", "largest part of one prompt in a step",
     Takers::kWorkers},
    {"target-step-ms", &ServeOptions::target_step_ms, "ms",
     "time for a step of prompts beside streams that run, which get a token each in it; 0 = no limit (80)",
     Takers::kWorkers},
    {"max-sequences", &ServeOptions::max_sequences, "N", "sequences that run at once in a group",
     Takers::kWorkers},
    {"admit-headroom", &ServeOptions::admit_headroom, "TOKENS",
     "KV room left to each running request when another is admitted (64)", Takers::kWorkers},
    {"threads-per-rank", &ServeOptions::threads_per_rank, "THREADS",
     "compute threads of a rank; default: the cores, shared out among the ranks of all groups"},
    {"backend", &ServeOptions::backend, "auto|cpu|cuda",
     "where the workers compute: auto takes NVIDIA GPUs where they can serve the model (cpu)",
     Takers::kCheck},
    {"gpus", &ServeOptions::gpus, "LIST",
     "the GPUs that groups may take: CUDA's numbers, counted among those that CUDA_VISIBLE_DEVICES leaves, "
     "or names "
     "as nvidia-smi -L says them, as in 0,1 or GPU-8932f937,GPU-5f03; default: all",
     Takers::kCheck},
    {"isa", &ServeOptions::isa, "auto|avx2|avx512|amx", "instruction set of the workers' kernels (auto)",
     Takers::kWorkers},
    {"weights", &ServeOptions::weights, "bf16|int8",
     "what the layers' matrices are kept as; int8: half the memory, faster but on AMX, answers a little off "
     "(bf16)",
     Takers::kWorkers},
    {"rope-scaling", &ServeOptions::rope_scaling, "SPEC", "yarn:FACTOR:ORIGINAL, in place of config.json's",
     Takers::kWorkers},
    {"prompt-nano-usd", &ServeOptions::prompt_nano_usd, "NANO-USD", "price of a prompt token (75)"},
    {"cached-prompt-nano-usd", &ServeOptions::cached_prompt_nano_usd, "NANO-USD",
     "price of a cached prompt token (75)"},
    {"completion-nano-usd", &ServeOptions::completion_nano_usd, "NANO-USD",
     "price of a completion token (150)"},
    {"max-queue", &ServeOptions::max_queue, "REQUESTS", "bound of the waiting queue"},
    {"reap-after", &ServeOptions::reap_after, "SECONDS",
     "silence of a gateway after which its requests are closed for it (900)"},
    {"coordinator-metrics-port", &ServeOptions::coordinator_metrics_port, "PORT",
     "of the coordinator's metrics and probes; default: any", Takers::kCoordinator, "metrics-port"},
    {"gateway-metrics-port", &ServeOptions::gateway_metrics_port, "PORT",
     "of the gateway's metrics and probes; default: any", Takers::kGateway, "metrics-port"},
    {"grpc-port", &ServeOptions::grpc_port, "PORT",
     "of the gRPC API (quire.v1.Chat), at the API's address; 0 = any; default: there is none",
     Takers::kGateway},
    {"max-connections", &ServeOptions::max_connections, "N", "connections to the API (8192)",
     Takers::kGateway},
    {"page", &ServeOptions::page, "on|off", "the model page with its playground, at / of the API's port (on)",
     Takers::kGateway},
    {"max-connections-per-ip", &ServeOptions::max_connections_per_ip, "N",
     "the same for one client address (4096); 0 = no bound, for behind a proxy", Takers::kGateway},
    {"max-unadmitted-per-key", &ServeOptions::max_unadmitted_per_key, "N",
     "requests of one key that are being read at once (512)", Takers::kGateway},
    {"body-budget-mib", &ServeOptions::body_budget_mib, "MiB",
     "bodies of requests that are being read, all together (512)", Takers::kGateway},
    {"webhook-allow", &ServeOptions::webhook_allow, "HOSTS",
     "HOST[:PORT] with commas between, which webhooks may call wherever they are", Takers::kGateway},
    {"webhook-ca", &ServeOptions::webhook_ca, "FILE",
     "authorities that webhooks' receivers may have beside the system's", Takers::kGateway},
    {"webhook-jobs", &ServeOptions::webhook_jobs, "N",
     "requests that call a webhook, at once (256); 0 = they are refused", Takers::kGateway},
    {"webhook-retry-ms", &ServeOptions::webhook_retry_ms, "ms", "before a webhook's second attempt (5000)",
     Takers::kGateway},
};

// Beside its drain: the settlements (25 s, gateway/main.cc), and what a busy machine needs; of the
// coordinator, the groups' grace and the ledger's last commit.
constexpr int64_t kGatewayEndsMs = 40'000, kCoordinatorEndsMs = 30'000;

absl::StatusOr<int64_t> NumberOrAuto(const char* flag, const std::string& text) {
  constexpr int64_t kMost = 64;
  if (text == "auto") return 0;
  int64_t number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= 1 && number <= kMost) return number;
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": '", text, "' is neither auto nor a number in 1..", kMost));
}

}  // namespace

void ServeOptions::Declare(Options& options) {
  options.Add("model", &model, "DIR", "a Qwen2, Qwen3 or Llama model in Hugging Face form");
  options.Require("model");
  options.Add("model-name", &model_name, "NAME", "what clients call it; default: the folder's name");
  options.Add(
      "tensor-parallel", &tensor_parallel, "RANKS",
      "processes that share one model, 1 to 64; auto = one for each NUMA node, with that node's cores, as "
      "far as the model can be split; on GPUs as few as hold it");
  options.Add("groups", &groups, "GROUPS",
              "replicas of the model, 1 to 64; auto = 1; on GPUs as many as there are GPUs for");
  options.Add("host", &host, "HOST", "address of the API; the admin API stays on loopback");
  options.Add("port", &port, "PORT", "port of the API, 0 = any", {0, 65535});
  options.Add("cors-origin", &cors_origin, "ORIGINS",
              "whose pages may call the API from a browser: *, none, or a list with commas");
  options.Add(
      "drain-delay-ms", &drain_delay_ms, "ms",
      "after SIGTERM: how long new connections are still served, for a load balancer before this machine",
      {0, 3'600'000});
  options.Add("stream-drain-seconds", &stream_drain_seconds, "SECONDS",
              "after that: how long streams may go on before they are cut", {0, 86'400});
  options.Add("drain-seconds", &drain_seconds, "SECONDS",
              "how long a group that is told to end lets its streams run", {0, 86'400});
  options.Add("admin-port", &admin_port, "PORT", "port of the admin API, 0 = any", {0, 65535});
  options.Add("data", &data, "DIR", "ledger, keys and logs; made if missing");
  options.Add("ready-file", &ready_file, "FILE",
              "written when ready: JSON with url, model, admin_url, and api_key and admin_key where "
              "DATA/keys.json is");
  for (const PassedOnOption& option : kPassedOn) {
    options.Add(option.name, &(this->*option.value), option.unit, option.help);
  }
  log.DeclareLimits(options);
}

absl::StatusOr<int64_t> ServeOptions::Ranks() const {
  return NumberOrAuto("tensor-parallel", tensor_parallel);
}

absl::StatusOr<int64_t> ServeOptions::Groups() const { return NumberOrAuto("groups", groups); }

absl::Status ServeOptions::Check() const {
  QUIRE_RETURN_IF_ERROR(Ranks().status());
  QUIRE_RETURN_IF_ERROR(Groups().status());
  if (!gpus.empty() && (backend.empty() || backend == "cpu")) {
    return absl::InvalidArgumentError("--gpus is for --backend cuda or auto, and the default is cpu");
  }
  std::error_code error;
  switch (std::filesystem::status(model, error).type()) {
    case std::filesystem::file_type::directory:
      return CheckModelName(ModelName());
    case std::filesystem::file_type::none:
      return absl::InvalidArgumentError(
          absl::StrCat("--model ", model, " can't be looked at: ", error.message()));
    default:
      return absl::OkStatus();  // whoever opens it says what is wrong
  }
}

std::string ServeOptions::ModelName() const {
  if (!model_name.empty()) return model_name;
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::weakly_canonical(model, error);
  return (error ? std::filesystem::path(model) : whole).filename().string();
}

std::vector<std::string> ServeOptions::PassedOnTo(Program program) const {
  std::vector<std::string> flags;
  for (const PassedOnOption& option : kPassedOn) {
    const std::string& value = this->*option.value;
    if (!Takes(program, option.takers) || value.empty()) continue;
    flags.push_back(
        absl::StrCat("--", option.its_name != nullptr ? option.its_name : option.name, "=", value));
  }
  if (program == Program::kCoordinator) {
    flags.push_back(absl::StrCat("--drain-seconds=", drain_seconds));
  } else if (program == Program::kGateway) {
    flags.push_back(absl::StrCat("--stream-drain-seconds=", stream_drain_seconds));
    flags.push_back(absl::StrCat("--drain-delay-ms=", drain_delay_ms));
  }
  return flags;
}

int64_t ServeOptions::GatewayStopMs() const {
  return drain_delay_ms + stream_drain_seconds * 1000 + kGatewayEndsMs;
}

int64_t ServeOptions::CoordinatorStopMs() const { return drain_seconds * 1000 + kCoordinatorEndsMs; }

}  // namespace quire::cli
