#include "coordinator/coordinator.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/clock.h"
#include "base/core/cpu_topology.h"
#include "base/core/exit_code.h"
#include "base/core/files.h"
#include "base/core/host_port.h"
#include "base/core/log.h"
#include "base/core/model_name.h"
#include "base/core/status.h"
#include "base/http/server.h"
#include "coordinator/api/admin_service.h"
#include "coordinator/api/admission.h"
#include "coordinator/api/auditor.h"
#include "coordinator/api/coordinator_service.h"
#include "coordinator/api/ledger_call.h"
#include "coordinator/api/ledger_news.h"
#include "coordinator/api/metered_store.h"
#include "coordinator/api/slow_facts.h"
#include "coordinator/data_folder.h"
#include "coordinator/fleet/process_driver.h"
#include "coordinator/ledger/blob_store.h"
#include "coordinator/ledger/ledger_reports.h"

namespace quire::coordinator {
namespace {

constexpr auto kGrpcDrain = std::chrono::milliseconds(500);
constexpr const char* kDefaultAccount = "default";

// A commit that says that this coordinator can't go on: nothing may be answered any more, so it ends on the
// spot.
[[noreturn]] void Die(const absl::Status& why) {
  Log(LogLevel::kError, "ledger_lost", "why", MessageOf(why));
  std::_Exit(kExitLedgerLost);
}

class AssembledCoordinator final : public Coordinator {
 public:
  AssembledCoordinator(const CoordinatorConfig& config, DataFolder folder)
      : config_(config),
        folder_(std::move(folder)),
        clock_(config.clock != nullptr ? *config.clock : system_clock_),
        facts_(folder_.File("models.json"), folder_.pepper(), config.write_file),
        epochs_(folder_.File("epochs.json"), config.write_file),
        router_(RouterConfig(config), clock_) {}

  ~AssembledCoordinator() override {
    router_.Close();  // open calls end, so that the server can
    if (grpc_.server) grpc_.server->Shutdown(std::chrono::system_clock::now() + kGrpcDrain);
    http_.reset();
    if (ledger_thread_) ledger_thread_->Stop();  // its replies call what is destroyed next
  }

  absl::Status Begin() {
    QUIRE_RETURN_IF_ERROR(BeginLedger());
    QUIRE_RETURN_IF_ERROR(LoadFacts());
    QUIRE_RETURN_IF_ERROR(epochs_.Load(clock_.UnixMs()));
    for (const auto& [group, epoch] : epochs_.Epochs()) router_.Fence(group, epoch);
    QUIRE_RETURN_IF_ERROR(BeginServers());
    QUIRE_RETURN_IF_ERROR(BeginFleet());
    Log(LogLevel::kInfo, "serving", "grpc", grpc_address(), "admin", admin_address(), "metrics",
        metrics_address());
    MutexLock lock(&ready_mutex_);
    began_ = true;
    return WriteReadyFile();
  }

  void Stop() override {
    admin_->StartDraining();
    router_.Close();
    if (fleet_) fleet_->Stop();
    grpc_.server->Shutdown(std::chrono::system_clock::now() + kGrpcDrain);
    http_.reset();
    ledger_thread_->Stop();
    Log(LogLevel::kInfo, "stopped");
  }

  void HurryStop() override {
    if (fleet_) fleet_->HurryStop();
  }

  std::string grpc_address() const override { return JoinHostPort(config_.host, grpc_.port); }
  std::string admin_address() const override { return JoinHostPort(config_.admin_host, http_->port()); }
  std::string metrics_address() const override { return metrics_plane_->address(); }

 private:
  static Router::Config RouterConfig(const CoordinatorConfig& config) {
    Router::Config router;
    router.queue.max_waiting = static_cast<size_t>(config.max_queue);
    router.queue.max_per_account = std::max<size_t>(1, router.queue.max_waiting / 2);
    return router;
  }

  absl::Status BeginLedger() {
    metered_store_ = std::make_unique<MeteredStore>(folder_.ledger(), clock_, metrics_);
    LedgerOptions rules;
    rules.reap_after_us = config_.reap_after_s * 1'000'000;
    rules.on_news = [this](const LedgerBatch& news) { TellNews(news, router_, facts_); };
    ledger_ = std::make_unique<Ledger>(metered_store_.get(), rules);
    QUIRE_RETURN_IF_ERROR(ledger_->TakeOver());
    QUIRE_ASSIGN_OR_RETURN(reports_, LedgerReports::Open(folder_.File("ledger.db")));
    auditor_ = std::make_unique<Auditor>(reports_.get(), metrics_);
    QUIRE_ASSIGN_OR_RETURN(bundles_, OpenBundles());
    LedgerThreadOptions options;
    options.on_fatal = Die;
    ledger_thread_ = std::make_unique<LedgerThread>(ledger_.get(), &clock_, options);
    return absl::OkStatus();
  }

  // Its damage is no damage of the books.
  absl::StatusOr<std::unique_ptr<BlobStore>> OpenBundles() const {
    auto bundles = BlobStore::Open(folder_.File("bundles.db"));
    if (!absl::IsDataLoss(bundles.status())) return bundles;
    return absl::FailedPreconditionError(MessageOf(bundles.status()));
  }

  absl::Status LoadFacts() {
    QUIRE_RETURN_IF_ERROR(facts_.Load());
    if (config_.worker.groups > 0) facts_.ServeLocally(config_.worker.model_name);
    QUIRE_RETURN_IF_ERROR(MakeFirstKeys());
    std::vector<std::string> priced = facts_.Models();
    if (!config_.worker.model_name.empty()) priced = {config_.worker.model_name};
    for (const std::string& model : priced) {
      QUIRE_RETURN_IF_ERROR(CallLedger<PriceRow>(*ledger_thread_, [model, price = config_.price](
                                                                      Ledger& ledger, Reply<PriceRow> reply) {
                              ledger.SetPrice(model, price, std::move(reply));
                            }).status());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<LedgerFacts> GetFacts() {
    return CallLedger<LedgerFacts>(
        *ledger_thread_, [](Ledger& ledger, Reply<LedgerFacts> reply) { ledger.GetFacts(std::move(reply)); });
  }

  // The file first, then the rows: a crash between the two is mended by the next start.
  absl::Status MakeFirstKeys() {
    QUIRE_ASSIGN_OR_RETURN(const LedgerFacts stored, GetFacts());
    QUIRE_ASSIGN_OR_RETURN(std::optional<FirstKeys> keys, folder_.LoadFirstKeys());
    const bool has_admin = std::any_of(stored.keys.begin(), stored.keys.end(), [](const KeyRow& key) {
      return key.kind == KeyKind::kAdmin && key.revoked_ms == 0;
    });
    if (!keys && has_admin) return absl::OkStatus();  // the operator took the file away
    if (!keys) {
      QUIRE_ASSIGN_OR_RETURN(keys, folder_.MakeFirstKeys());
    }
    for (const std::string& text : {keys->admin_key, keys->api_key}) {
      const std::optional<ParsedApiKey> parsed = ParseApiKey(text);
      const bool known = parsed && std::any_of(stored.keys.begin(), stored.keys.end(),
                                               [&](const KeyRow& key) { return key.id == parsed->id; });
      if (parsed && !known) QUIRE_RETURN_IF_ERROR(StoreFirstKey(*parsed, text));
    }
    return absl::OkStatus();
  }

  absl::Status StoreFirstKey(const ParsedApiKey& parsed, const std::string& text) {
    KeyRow row;
    row.id = parsed.id;
    row.kind = parsed.kind;
    row.hmac = ToBytes(ApiKeyHmac(folder_.pepper(), text));
    row.account = kDefaultAccount;
    row.name = "first";
    row.created_ms = clock_.UnixMs();
    return CallLedger<KeyRow>(
               *ledger_thread_,
               [row](Ledger& ledger, Reply<KeyRow> reply) { ledger.CreateKey(row, std::move(reply)); })
        .status();
  }

  absl::Status BeginServers() {
    admission_ = std::make_unique<Admission>(ledger_thread_.get(), &router_, &facts_, metrics_);
    service_ = MakeCoordinatorService({.admission = admission_.get(),
                                       .router = &router_,
                                       .facts = &facts_,
                                       .bundles = bundles_.get(),
                                       .ledger = ledger_thread_.get(),
                                       .epochs = &epochs_,
                                       .clock = &clock_,
                                       .first_price = config_.price,
                                       .worker_secret = folder_.worker_secret(),
                                       .pepper = folder_.pepper(),
                                       .on_group = [this] { OnGroup(); }});
    QUIRE_ASSIGN_OR_RETURN(
        grpc_, StartGrpcServer({config_.host, static_cast<int>(config_.port), config_.tls, config_.insecure},
                               {service_.get()}));
    if (config_.worker.groups > 0) MakeFleet();
    AdminService::Parts parts{ledger_thread_.get(), reports_.get(), &router_, &facts_,
                              fleet_.get(),         &clock_,        &metrics_};
    if (config_.admin_patience) parts.patience = *config_.admin_patience;
    admin_ = std::make_unique<AdminService>(parts, folder_.pepper());
    http::HttpServerOptions http;
    http.host = config_.admin_host;
    http.port = static_cast<int>(config_.admin_port);
    http.limits = http::OperatorLimits();
    http.guard = admin_->Guard();
    http.plane = "admin";
    QUIRE_ASSIGN_OR_RETURN(http_, http::Server::Start(http, admin_->Routes(), metrics_));
    QUIRE_ASSIGN_OR_RETURN(metrics_plane_,
                           http::MetricsPlane::Start(config_.metrics, metrics_, admin_->Probes()));
    return absl::OkStatus();
  }

  void MakeFleet() {
    WorkerFlags flags = config_.worker;
    flags.coordinator_address = grpc_address();
    flags.tls_cert = config_.tls.cert;
    flags.tls_key = config_.tls.key;
    flags.tls_ca = config_.tls.ca;
    flags.insecure = config_.insecure;
    flags.log = config_.log;
    flags.owner_lock = folder_.LockFile();
    flags.matmul_cache = folder_.File("matmuls");
    if (config_.tls.empty()) flags.worker_secret_file = folder_.File("worker_secret");
    ProcessDriver::Config driver;
    driver.data_dir = folder_.path();
    driver.groups = static_cast<int>(flags.groups);
    driver.ranks = static_cast<int>(flags.ranks);
    driver.past_epochs = epochs_.Epochs();
    driver.stop_grace_ms = flags.StopGraceMs();
    driver.command = [flags](const RankIdentity& identity) {
      return flags.Command(identity, GroupByNode(UsableCpus()).nodes, CpuQuota());
    };
    driver.lasting_command = [flags](const RankIdentity& identity) { return flags.LastingCommand(identity); };
    driver.served = [this](const std::string& group, uint64_t epoch) { return Served(group, epoch); };
    fleet_ = std::make_unique<ProcessDriver>(
        std::move(driver), clock_,
        [this](const std::string& group, uint64_t epoch) { router_.Fence(group, epoch); });
  }

  ProcessDriver::ServedRun Served(const std::string& id, uint64_t epoch) const {
    for (const GroupReport& report : router_.Report().groups) {
      const Group& group = report.group;
      if (group.info.group_id() == id && group.info.epoch() == epoch) {
        const int64_t ms = (clock_.NowUs() - group.registered_us) / 1000;
        return {.ms = std::max<int64_t>(1, ms), .draining = group.beat.draining()};
      }
    }
    return {};
  }

  absl::Status BeginFleet() { return fleet_ ? fleet_->Start() : absl::OkStatus(); }

  // A group has registered; gRPC's threads. The file says so, whatever the log's level is.
  void OnGroup() ABSL_LOCKS_EXCLUDED(ready_mutex_) {
    MutexLock lock(&ready_mutex_);
    if (!began_) return;  // it is about to be written
    const absl::Status written = WriteReadyFile();
    if (!written.ok()) Log(LogLevel::kError, "ready_file_not_written", "why", MessageOf(written));
  }

  absl::Status WriteReadyFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(ready_mutex_) {
    if (config_.ready_file.empty()) return absl::OkStatus();
    nlohmann::json ready = nlohmann::json::object();
    ready["pid"] = getpid();
    ready["grpc"] = grpc_address();
    ready["admin"] = admin_address();
    ready["metrics"] = metrics_address();
    ready["groups"] = nlohmann::json::array();
    for (const GroupReport& report : router_.Report().groups) {
      if (report.state == GroupState::kGone) continue;
      nlohmann::json group = nlohmann::json::object();
      group["id"] = report.group.info.group_id();
      group["epoch"] = report.group.info.epoch();
      ready["groups"].push_back(std::move(group));
    }
    return WriteFileAtomically(config_.ready_file, ready.dump() + "\n", 0600);
  }

  // In the order of their making; each uses only what stands above it.
  const CoordinatorConfig config_;
  const DataFolder folder_;
  const SystemClock system_clock_;
  const Clock& clock_;
  Mutex ready_mutex_;  // the ready file
  bool began_ ABSL_GUARDED_BY(ready_mutex_) = false;
  Metrics metrics_;
  SlowFacts facts_;
  EpochFile epochs_;
  Router router_;
  std::unique_ptr<MeteredStore> metered_store_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<LedgerReports> reports_;
  std::unique_ptr<Auditor> auditor_;
  std::unique_ptr<BlobStore> bundles_;
  std::unique_ptr<LedgerThread> ledger_thread_;
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<grpc::Service> service_;
  GrpcServer grpc_;
  std::unique_ptr<FleetDriver> fleet_;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<http::Server> http_;
  std::unique_ptr<http::MetricsPlane> metrics_plane_;
};

}  // namespace

void CoordinatorConfig::Declare(Options& options) {
  const IntLimits port_limits{0, 65535}, price_limits{0, kMaxPricePerToken};
  options.Add("data", &data, "DIR", "ledger, keys, text bundles, logs; made if missing");
  options.Add("host", &host, "ADDRESS", "of the internal gRPC service");
  options.Add("port", &port, "PORT", "of the internal gRPC service; 0 = any", port_limits);
  options.Add("admin-host", &admin_host, "ADDRESS", "of the admin API");
  options.Add("admin-port", &admin_port, "PORT", "of the admin API; 0 = any", port_limits);
  metrics.Declare(options);
  options.Add("ready-file", &ready_file, "FILE",
              "written once it serves, and whenever a group registers: {pid, grpc, admin, metrics, groups}");
  options.Add(
      "end-groups", &end_groups,
      "end the local groups that a coordinator of --data left, and end: where none can start any more");
  options.Add("max-queue", &max_queue, "N", "most requests that wait for a group", IntLimits{1, 1'000'000});
  options.Add("prompt-nano-usd", &price.prompt, "nano-dollars", "price of a prompt token", price_limits);
  options.Add("cached-prompt-nano-usd", &price.cached_prompt, "nano-dollars",
              "price of a cached prompt token", price_limits);
  options.Add("completion-nano-usd", &price.completion, "nano-dollars", "price of a generated token",
              price_limits);
  // At least four times as long as a gateway goes on without an acknowledgement (30 s): docs/LEDGER.md, R5.
  options.Add("reap-after", &reap_after_s, "s", "silence after which a gateway's request is closed for it",
              IntLimits{120, 7 * 24 * 3600});
  worker.Declare(options);
  options.Add("tls-cert", &tls.cert, "FILE", "certificate for the internal gRPC service");
  options.Add("tls-key", &tls.key, "FILE", "its key");
  options.Add("tls-ca", &tls.ca, "FILE", "CA of its clients");
  options.Add("insecure", &insecure, "allow gRPC and the admin API without TLS off loopback");
  log.Declare(options);
}

absl::Status EndLocalGroups(const std::string& data) {
  std::error_code error;
  const auto has = [&](const char* name) {
    return std::filesystem::exists(data + "/" + name, error) || error;
  };
  if (!has("lock") && !has("fleet.json")) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--data ", data, ": no coordinator has had such a folder; give the one whose groups are to end"));
  }
  QUIRE_ASSIGN_OR_RETURN(const Fd lock, LockDataFolder(data));
  return EndRecordedGroups(data);
}

absl::Status CoordinatorConfig::Check() const {
  if (end_groups) return absl::OkStatus();
  QUIRE_RETURN_IF_ERROR(CheckListen({host, static_cast<int>(port), tls, insecure}));
  for (const std::string& address : {admin_host, metrics.host})
    QUIRE_RETURN_IF_ERROR(CheckListenHost(address));
  if (!insecure && !IsLoopbackHost(admin_host)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "refusing to serve the admin API on ", admin_host,
        " without TLS, where admin keys would pass in the clear: keep --admin-host on loopback and "
        "put a TLS proxy before it, or give --insecure"));
  }
  if (worker.groups > 0 && (worker.model.empty() || worker.model_name.empty())) {
    return absl::InvalidArgumentError(
        "--model and --model-name are required, or --groups 0 for external workers");
  }
  QUIRE_RETURN_IF_ERROR(worker.Check());
  return worker.model_name.empty() ? absl::OkStatus() : CheckModelName(worker.model_name);
}

absl::StatusOr<std::unique_ptr<Coordinator>> Coordinator::Start(const CoordinatorConfig& config) {
  QUIRE_RETURN_IF_ERROR(config.Check());
  QUIRE_ASSIGN_OR_RETURN(DataFolder folder, DataFolder::Open(config.data));
  auto coordinator = std::make_unique<AssembledCoordinator>(config, std::move(folder));
  QUIRE_RETURN_IF_ERROR(coordinator->Begin());
  return std::unique_ptr<Coordinator>(std::move(coordinator));
}

}  // namespace quire::coordinator
