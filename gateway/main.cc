// quire-gateway: the public API of an installation. Stateless: it may be killed and started again, or run
// many times.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/descriptor_limit.h"
#include "base/core/exit_code.h"
#include "base/core/files.h"
#include "base/core/host_port.h"
#include "base/core/log.h"
#include "base/core/log_options.h"
#include "base/core/options.h"
#include "base/core/secret_file.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "base/core/version.h"
#include "base/http/cors.h"
#include "gateway/gateway.h"
#include "gateway/text/model_check.h"

namespace quire::gateway {
namespace {

struct Config {
  GatewayOptions gateway;
  std::string pepper_file, ready_file, check, page = "on";
  LogOptions log;
  int64_t port = 8000, threads = 2, max_connections = 8192, max_connections_per_ip = 4096,
          drain_seconds = 300, drain_delay_ms = 5000, unadmitted_per_key = IntakeLimits().requests_per_key,
          body_budget_mib = static_cast<int64_t>(IntakeLimits().bytes >> 20);
};

void Declare(Options& options, Config& config) {
  constexpr IntLimits kPort{0, 65535};
  options.Add("host", &config.gateway.host, "HOST", "address of the API");
  options.Add("port", &config.port, "PORT", "port of the API; 0 = any", kPort);
  options.Add("grpc-port", &config.gateway.grpc_port, "PORT",
              "port of the gRPC API (quire.v1.Chat), at the API's address; 0 = any, -1 = none", {-1, 65535});
  config.gateway.metrics.Declare(options);
  options.Add("cors-origin", &config.gateway.cors_origin, "ORIGINS",
              "whose pages may call the API from a browser: *, none, or a list with commas");
  options.Add("page", &config.page, "on|off", "the model page with its playground, at / of the API's port");
  options.Add("coordinator", &config.gateway.coordinator, "HOST:PORT", "the coordinator's gRPC address");
  options.Add("pepper-file", &config.pepper_file, "FILE",
              "the secret that keys are hashed with (the coordinator's)");
  options.Add("ready-file", &config.ready_file, "FILE", "written when the API serves, and a model with it");
  options.Add("threads", &config.threads, "N", "threads that serve connections", {1, 64});
  options.Add("max-connections", &config.max_connections, "N", "connections beyond this get 503",
              {1, 1'000'000});
  options.Add("max-unadmitted-per-key", &config.unadmitted_per_key, "N",
              "requests of one key that are being read at once; those beyond get 429", {1, 1'000'000});
  options.Add("body-budget-mib", &config.body_budget_mib, "MiB",
              "bodies of requests that are being read, all together; what doesn't fit gets 503; an "
              "account may hold a quarter",
              {16, 1 << 20});
  options.Add("max-connections-per-ip", &config.max_connections_per_ip, "N",
              "the same for one client address; 0 = no bound, for behind a proxy", {0, 1'000'000});
  options.Add(
      "webhook-allow", &config.gateway.webhooks.allow, "HOSTS",
      "HOST[:PORT] with commas between, which webhooks may call wherever they are; others on port 443 "
      "and at public addresses only");
  options.Add("webhook-ca", &config.gateway.webhooks.ca_file, "FILE",
              "authorities that webhooks' receivers may have beside the system's");
  options.Add("webhook-jobs", &config.gateway.webhooks.jobs, "N",
              "requests that call a webhook, at once; an account may have a quarter; 0 = they are refused",
              {0, 10'000});
  options.Add("webhook-retry-ms", &config.gateway.webhooks.retry_ms, "ms",
              "before a webhook's second attempt; 5 times that before the third, 25 before the last",
              {1, 3'600'000});
  options.Add("drain-delay-ms", &config.drain_delay_ms, "ms",
              "after SIGTERM: how long new connections are still served while /readyz says no",
              {0, 3'600'000});
  options.Add("stream-drain-seconds", &config.drain_seconds, "S", "how long streams may go on after SIGTERM",
              {0, 86400});
  options.Add("tls-cert", &config.gateway.tls.cert, "FILE", "certificate for internal gRPC");
  options.Add("tls-key", &config.gateway.tls.key, "FILE", "its private key");
  options.Add("tls-ca", &config.gateway.tls.ca, "FILE", "the CA of its peers");
  options.Add("insecure", &config.gateway.insecure, "allow internal gRPC without TLS off loopback");
  config.log.Declare(options);
  options.Add(
      "check", &config.check, "DIR",
      "say whether the text files of this model folder can be used (tokenizer, chat template, generation "
      "config), and end; 78: they can't, and why");
}

void WriteReadyFile(const Config& config, const Gateway& gateway) {
  Log(LogLevel::kInfo, "ready");
  if (config.ready_file.empty()) return;
  nlohmann::ordered_json ready;
  ready["pid"] = getpid();
  ready["api"] = quire::JoinHostPort(config.gateway.host, gateway.api_port());
  if (gateway.grpc_port() > 0) {
    ready["grpc"] = quire::JoinHostPort(config.gateway.host, gateway.grpc_port());
  }
  ready["metrics"] = quire::JoinHostPort(config.gateway.metrics.host, gateway.metrics_port());
  const absl::Status written = WriteFileAtomically(config.ready_file, ready.dump() + "\n", 0644);
  if (!written.ok()) Log(LogLevel::kError, "ready_file_not_written", "reason", MessageOf(written));
}

// What is open beside the clients' connections: gRPC's, logs, listeners; and the metrics plane's connections.
const int64_t kOtherDescriptors = 256 + http::OperatorLimits().connections;

int AffordableConnections(int64_t wanted, int64_t jobs) {
  const int64_t limit = RaiseDescriptorLimit();
  const int64_t affordable =
      std::max<int64_t>((limit - kOtherDescriptors - jobs) / http::kDescriptorsPerConnection, 1);
  if (affordable >= wanted) return static_cast<int>(wanted);
  Log(LogLevel::kWarn, "fewer_connections", "wanted", wanted, "descriptors", limit, "connections",
      affordable);
  return static_cast<int>(affordable);
}

absl::Status CheckFlags(const Config& config) {
  QUIRE_RETURN_IF_ERROR(http::CorsPolicy::Parse(config.gateway.cors_origin).status());
  QUIRE_RETURN_IF_ERROR(WebhookRules::Parse(config.gateway.webhooks.allow).status());
  const std::string& ca_file = config.gateway.webhooks.ca_file;
  QUIRE_RETURN_IF_ERROR(
      http::HttpsClient::Make({.ca_file = ca_file, .resolve = nullptr, .may_reach = nullptr}).status());
  if (!config.check.empty()) return absl::OkStatus();
  const bool has_coordinator = !config.gateway.coordinator.empty();
  if (!has_coordinator || config.pepper_file.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(has_coordinator ? "--pepper-file" : "--coordinator",
                                                   " is missing: --help says what it is"));
  }
  for (const std::string& host : {config.gateway.host, config.gateway.metrics.host}) {
    QUIRE_RETURN_IF_ERROR(CheckListenHost(host));
  }
  return CheckTls(config.gateway.tls);
}

absl::Status Serve(Config& config) {
  QUIRE_ASSIGN_OR_RETURN(
      config.gateway.pepper,
      ReadSecretFile(config.pepper_file,
                     "give --pepper-file the path of pepper in the coordinator's data folder"));
  config.gateway.page = config.page == "on";
  config.gateway.port = static_cast<int>(config.port);
  config.gateway.threads = static_cast<int>(config.threads);
  config.gateway.version = Version();
  config.gateway.limits.connections =
      AffordableConnections(config.max_connections, config.gateway.webhooks.jobs);
  config.gateway.intake.requests_per_key = static_cast<int>(config.unadmitted_per_key);
  config.gateway.intake.bytes = static_cast<size_t>(config.body_budget_mib) << 20;
  config.gateway.limits.connections_per_ip = static_cast<int>(config.max_connections_per_ip);
  config.gateway.drain_delay = std::chrono::milliseconds(config.drain_delay_ms);
  QUIRE_ASSIGN_OR_RETURN(auto gateway, Gateway::Start(config.gateway));
  Log(LogLevel::kInfo, "serving", "api_port", gateway->api_port(), "metrics_port", gateway->metrics_port(),
      "grpc_port", gateway->grpc_port());
  gateway->WhenReady([&config, gateway = gateway.get()] { WriteReadyFile(config, *gateway); });
  const int first = WaitForShutdownSignal();
  Log(LogLevel::kInfo, "draining");
  const SystemClock clock{};
  ImpatientShutdown second(first, clock, [&] {
    Log(LogLevel::kInfo, "drain_cut_short");
    gateway->CutShort();
  });
  if (!gateway->Drain(absl::Seconds(config.drain_seconds), absl::Seconds(25))) {
    return absl::DeadlineExceededError(
        "the coordinator did not acknowledge every settlement before the exit");
  }
  return absl::OkStatus();
}

absl::Status Check(const Config& config) {
  QUIRE_ASSIGN_OR_RETURN(const std::string verdict, CheckModelFolder(config.check));
  std::printf("%s\n", verdict.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace quire::gateway

int main(int argc, char** argv) {
  using namespace quire;
  gateway::Config config;
  Options options("quire-gateway", "Serves the OpenAI-compatible API: HTTP in, tokens from the workers out.");
  gateway::Declare(options, config);
  if (const int code = ParseOrExitCode(options, argc, argv); code >= 0) return code;
  if (const absl::Status wrong = gateway::CheckFlags(config); !wrong.ok()) {
    std::fprintf(stderr, "quire-gateway: %s\n", MessageOf(wrong).c_str());
    return kExitUsage;
  }
  InitLogging("gateway", config.log);
  if (config.check.empty()) BlockShutdownSignals();  // a check just ends
  const absl::Status status = config.check.empty() ? gateway::Serve(config) : gateway::Check(config);
  if (status.ok()) return 0;
  std::fprintf(stderr, "quire-gateway: %s\n", MessageOf(status).c_str());
  return ExitCodeOf(status);
}
