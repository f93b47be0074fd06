#include "gateway/gateway.h"

#include <atomic>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/mutex.h"
#include "base/core/status.h"
#include "base/http/server.h"
#include "gateway/api/chat/chat_door.h"
#include "gateway/api/completions/completions_door.h"
#include "gateway/api/grpc/chat_service.h"
#include "gateway/api/messages/messages_dialect.h"
#include "gateway/api/messages/messages_door.h"
#include "gateway/api/models/model_status_handler.h"
#include "gateway/api/models/models_handler.h"
#include "gateway/api/openapi/document.h"
#include "gateway/api/openapi/operations.h"
#include "gateway/api/pipeline/http_door.h"
#include "gateway/api/pipeline/pipeline.h"
#include "gateway/api/responses/responses_door.h"
#include "gateway/api/text/text_doors.h"
#include "gateway/api/webhooks/inference_jobs_door.h"
#include "gateway/page/page_routes.h"
#include "gateway/rpc/watcher.h"

namespace quire::gateway {
namespace {

// How long the last frames of streams that a drain cuts off may take to leave, and what jobs send then.
constexpr absl::Duration kGoodbye = absl::Seconds(5);

std::string NewGatewayId() { return absl::StrCat("gw-", absl::BytesToHexString(RandomBytes(8))); }

// Of the log, for each key: lines about admissions and attempts that broke.
constexpr BudgetLimits kBrokenLines{.burst = 100, .every_us = 1'000'000};

AccountantOptions Accounting(const std::string& gateway_id, const GatewayOptions& options) {
  AccountantOptions accounting;
  accounting.gateway_id = gateway_id;
  accounting.max_pending_settles = options.max_pending_settles;
  return accounting;
}

}  // namespace

// In the order of use: what stands below uses what stands above, so it is destroyed first.
struct Gateway::Parts {
  Parts(const GatewayOptions& options, std::shared_ptr<grpc::Channel> channel)
      : gateway_id(NewGatewayId()),
        openapi(OpenApiDocument(options.version)),
        openapi_etag(absl::StrCat("\"", ToHex(Sha256(openapi)).substr(0, 32), "\"")),
        settles_pending(
            metrics.Gauge("quire_gateway_settles_pending", "Settles that are not acknowledged yet")),
        settle_mismatches(
            metrics.Gauge("quire_gateway_settle_mismatches",
                          "Settles that the ledger posted with another amount than the usage said")),
        models_unavailable(metrics.Gauge(
            "quire_gateway_models_unavailable",
            "Models whose text files can't be loaded: chats for them get 503, the log says why")),
        generation_metrics(metrics),
        coordinator(channel),
        workers(
            [tls = options.tls, insecure = options.insecure, secret = SessionSecret(options.pepper)](
                const std::string& address) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
              QUIRE_RETURN_IF_ERROR(CheckDial("a worker group", address, tls, insecure));
              return MakeGrpcChannel(address, tls, secret);
            },
            clock),
        ledger(channel, clock, Accounting(gateway_id, options)),
        catalog(channel, facts),
        services{.coordinator = coordinator,
                 .workers = workers,
                 .ledger = ledger,
                 .facts = facts,
                 .clock = clock,
                 .metrics = generation_metrics,
                 .activity = activity,
                 .gateway_id = gateway_id,
                 .broken_lines = broken_lines,
                 .cut_off = cut_off,
                 .max_wait = options.max_wait,
                 .silence_limit = options.silence_limit,
                 .coordinator_patience = options.coordinator_patience},
        authenticator(options.pepper, facts),
        intake(options.intake),
        abandonments(options.abandonments),
        text_threads(options.threads),
        pipeline(authenticator, catalog, intake, abandonments, text_threads, services),
        chat(pipeline, ParseChat),
        completions(pipeline, ParseCompletion),
        tokenize(pipeline, ParseTokenize),
        detokenize(pipeline, ParseDetokenize),
        apply_template(pipeline, ParseApplyTemplate),
        messages(pipeline, ParseMessages),
        message_counter(pipeline, ParseMessagesToCount),
        responses(pipeline, ParseResponses),
        models(authenticator, catalog),
        model_status(authenticator, catalog, activity, clock),
        chat_service(pipeline, catalog, call_threads, clock, metrics, options.limits.write_timeout),
        call_threads(options.threads),
        drain_delay(absl::FromChrono(options.drain_delay)),
        watcher(channel, gateway_id, facts, clock, [this] { OnModels(); }) {}

  // Before the servers, whose handlers may wait for them.
  ~Parts() {
    text_threads.Stop();
    if (grpc.server != nullptr) grpc.server->Shutdown(std::chrono::system_clock::now());
  }

  void OnModels() {
    activity.Saw(facts.Models(), clock.NowUs());
    AnnounceAfterLoad();
    catalog.Refresh();
  }

  // A load that fails is tried again: the first that makes this gateway ready tells so.
  void AnnounceAfterLoad() ABSL_LOCKS_EXCLUDED(mutex) {
    {
      MutexLock lock(&mutex);
      if (when_ready == nullptr || std::exchange(awaits_load, true)) return;
    }
    catalog.AfterNextLoad([this] {
      {
        MutexLock lock(&mutex);
        awaits_load = false;
      }
      if (!AnnounceIfReady()) AnnounceAfterLoad();
    });
  }

  // Whether it is.
  bool AnnounceIfReady() ABSL_LOCKS_EXCLUDED(mutex) {
    std::function<void()> then;
    {
      MutexLock lock(&mutex);
      if (!ready()) return false;
      then = std::exchange(when_ready, nullptr);
    }
    SetGrpcHealth(true);
    if (then) then();
    return true;
  }

  // Until no connection is left (true), or the other thing holds, or `limit` passed.
  bool AwaitClosedOr(bool Parts::*other, absl::Duration limit) ABSL_LOCKS_EXCLUDED(mutex) {
    const auto over = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
      return closed || (other != nullptr && this->*other);
    };
    MutexLock lock(&mutex);
    mutex.AwaitWithTimeout(absl::Condition(&over), limit);
    return closed;
  }

  // At first: knows the models, can serve one and loads none. (One that knows no model yet would refuse every
  // request for it as unknown.) From then on a model that is new, or has new files, is loaded beside what is
  // served, at every gateway at once: who asks for it waits or is told so. One that can load none is not
  // ready.
  bool ready() {
    if (!facts.synced()) return false;
    const ModelCatalog::Counts models = catalog.Count();
    if (models.servable > 0 && models.loading == 0) was_ready = true;
    return was_ready && models.servable + models.loading > 0;
  }

  http::RouteTable Routes(bool page) {
    http::RouteTable routes;
    for (const OperationRow& row : Operations()) {
      const http::Handler handler = HandlerOf(row.operation);
      routes.Add(row.method, RoutePath(row.path), handler);
      for (const char* alias : row.aliases) routes.Add(row.method, RoutePath(alias), handler);
    }
    for (const char* path : {"/v1/messages", "/anthropic"}) routes.Speak(path, kMessagesDialect);
    if (page) AddPageRoutes(routes);
    return routes;
  }

  absl::Status TakeJobs(const GatewayOptions& options) {
    QUIRE_ASSIGN_OR_RETURN(jobs,
                           WebhookJobs::Make(options.webhooks, options.pepper, pipeline, clock, metrics));
    inference.emplace(pipeline, *jobs);
    return absl::OkStatus();
  }

  http::Handler HandlerOf(Operation operation) {
    switch (operation) {
      case Operation::kChat:
        return [this](http::Exchange& e) { return chat.Handle(e); };
      case Operation::kCompletion:
        return [this](http::Exchange& e) { return completions.Handle(e); };
      case Operation::kInference:
        return [this](http::Exchange& e) { return inference->Handle(e); };
      case Operation::kWebhookSecret:
        return [this](http::Exchange& e) { return inference->TellSecret(e); };
      case Operation::kResponse:
        return [this](http::Exchange& e) { return responses.Handle(e); };
      case Operation::kMessage:
        return [this](http::Exchange& e) { return messages.Handle(e); };
      case Operation::kCountTokens:
        return [this](http::Exchange& e) { return message_counter.Handle(e); };
      case Operation::kListModels:
        return [this](http::Exchange& e) { return models.Handle(e); };
      case Operation::kGetModel:
        return [this](http::Exchange& e) { return models.HandleOne(e); };
      case Operation::kModelStatus:
        return [this](http::Exchange& e) { return model_status.Handle(e); };
      case Operation::kTokenize:
        return [this](http::Exchange& e) { return tokenize.Handle(e); };
      case Operation::kDetokenize:
        return [this](http::Exchange& e) { return detokenize.Handle(e); };
      case Operation::kApplyTemplate:
        return [this](http::Exchange& e) { return apply_template.Handle(e); };
      case Operation::kOpenApi:
        return [this](http::Exchange& e) { return SendDocument(e); };
    }
    return nullptr;
  }

  boost::asio::awaitable<void> SendDocument(http::Exchange& exchange) const {
    http::Reply reply =
        PageReply({.name = "openapi.json", .etag = openapi_etag, .content = openapi}, exchange.head());
    co_await exchange.Send(std::move(reply));
  }

  // Beside the API's address, and as open as that is: whatever ends TLS stands before both.
  absl::Status ServeGrpc(const GatewayOptions& options) {
    if (options.grpc_port < 0) return absl::OkStatus();
    const GrpcServerOptions listen{.host = options.host,
                                   .port = static_cast<int>(options.grpc_port),
                                   .tls = {},
                                   .insecure = true,
                                   .public_bytes = options.intake.bytes};
    QUIRE_ASSIGN_OR_RETURN(grpc, StartGrpcServer(listen, {&chat_service}));
    SetGrpcHealth(false);
    return absl::OkStatus();
  }

  void SetGrpcHealth(bool serving) {
    if (grpc.server == nullptr) return;
    for (const char* service : {"", "quire.v1.Chat"}) {
      grpc.server->GetHealthCheckService()->SetServingStatus(service, serving && !draining);
    }
  }

  // Takes no more calls and lets those that run end; whoever only watches is not waited for.
  void EndCalls(absl::Duration limit) {
    chat_service.Refuse();
    chat_service.AwaitIdle(limit);
    if (grpc.server != nullptr) grpc.server->Shutdown(std::chrono::system_clock::now());
  }

  http::Probes Probes() {
    return {.readiness = [this] { return ReadinessNow(); }, .metrics = [this] { return MetricsText(); }};
  }

  http::Readiness ReadinessNow() {
    if (draining) return {.ready = false, .state = "draining"};
    if (!ready())
      return {.ready = false, .state = "waiting for the coordinator, a first model, or models to load"};
    // gRPC's keepalive ends the Watch of a coordinator that is silent, in seconds; without it nobody is
    // admitted.
    if (!facts.current()) return {.ready = false, .state = "the coordinator does not answer"};
    return {.ready = true, .state = "serving"};
  }

  std::string MetricsText() {
    settles_pending.Set(static_cast<double>(ledger.accountant().pending_settles()));
    settle_mismatches.Set(static_cast<double>(ledger.accountant().counters().settle_mismatches));
    models_unavailable.Set(static_cast<double>(catalog.Count().failed));
    return metrics.Text();
  }

  const std::string gateway_id;
  const std::string openapi, openapi_etag;  // the document, as it is sent
  std::atomic<bool> draining{false}, cut_off{false}, was_ready{false};
  Mutex mutex;
  std::function<void()> when_ready ABSL_GUARDED_BY(mutex);
  bool awaits_load ABSL_GUARDED_BY(mutex) = false;  // to tell it then, once for however many loads
  bool closed ABSL_GUARDED_BY(mutex) = false;       // the drain's connections are gone
  bool cut_short ABSL_GUARDED_BY(mutex) = false;    // the drain is to end now
  const SystemClock clock;
  Metrics metrics;
  prometheus::Gauge& settles_pending;
  prometheus::Gauge& settle_mismatches;
  prometheus::Gauge& models_unavailable;
  GenerationMetrics generation_metrics;
  ModelActivity activity;
  Facts facts;
  CoordinatorClient coordinator;
  WorkerClient workers;
  LedgerDriver ledger;
  ModelCatalog catalog;
  Budgets broken_lines{kBrokenLines};
  const GenerationServices services;
  const Authenticator authenticator;
  Intake intake;
  Budgets abandonments;
  TextThreads text_threads;
  const Pipeline pipeline;
  const HttpDoor chat, completions, tokenize, detokenize, apply_template, messages, message_counter,
      responses;
  std::unique_ptr<WebhookJobs> jobs;
  std::optional<InferenceJobsDoor> inference;  // over them
  const ModelsHandler models;
  const ModelStatusHandler model_status;
  ChatService chat_service;
  CallThreads call_threads;  // whose end is that of the calls' coroutines
  std::unique_ptr<http::MetricsPlane> metrics_plane;
  std::unique_ptr<http::Server> server;
  GrpcServer grpc;  // the public one; null: there is none
  const absl::Duration drain_delay;
  Watcher watcher;
};

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Gateway::~Gateway() = default;

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(const GatewayOptions& options) {
  QUIRE_RETURN_IF_ERROR(CheckDial("the coordinator", options.coordinator, options.tls, options.insecure));
  if (options.pepper.empty()) {
    return absl::InvalidArgumentError(
        "the pepper is empty: give --pepper-file the path of pepper in the coordinator's data folder");
  }
  QUIRE_ASSIGN_OR_RETURN(const http::CorsPolicy cors, http::CorsPolicy::Parse(options.cors_origin));
  QUIRE_ASSIGN_OR_RETURN(auto channel,
                         MakeGrpcChannel(options.coordinator, options.tls, GatewaySecret(options.pepper)));
  auto parts = std::make_unique<Parts>(options, std::move(channel));
  QUIRE_ASSIGN_OR_RETURN(parts->metrics_plane,
                         http::MetricsPlane::Start(options.metrics, parts->metrics, parts->Probes()));
  QUIRE_RETURN_IF_ERROR(parts->TakeJobs(options));
  const http::HttpServerOptions http{.host = options.host,
                                     .port = options.port,
                                     .threads = options.threads,
                                     .limits = options.limits,
                                     .cors = cors,
                                     .guard = nullptr,  // the API is no secret
                                     .fruit = http::Fruit::kTokens};
  QUIRE_ASSIGN_OR_RETURN(parts->server,
                         http::Server::Start(http, parts->Routes(options.page), parts->metrics));
  QUIRE_RETURN_IF_ERROR(parts->ServeGrpc(options));
  return std::unique_ptr<Gateway>(new Gateway(std::move(parts)));
}

void Gateway::WhenReady(std::function<void()> then) {
  {
    MutexLock lock(&parts_->mutex);
    parts_->when_ready = std::move(then);
  }
  parts_->AnnounceAfterLoad();  // before the look, lest a load ends in between
  parts_->AnnounceIfReady();
}

int Gateway::api_port() const { return parts_->server->port(); }
int Gateway::grpc_port() const { return parts_->grpc.port; }
int Gateway::metrics_port() const { return parts_->metrics_plane->port(); }

bool Gateway::Drain(absl::Duration streams, absl::Duration settles) {
  parts_->draining = true;
  parts_->SetGrpcHealth(false);
  parts_->server->Leave();
  parts_->AwaitClosedOr(&Parts::cut_short, parts_->drain_delay);
  parts_->jobs->Refuse();
  std::thread last_call([&] {
    parts_->AwaitClosedOr(&Parts::cut_short, streams);
    parts_->cut_off = true;
    parts_->ledger.WakeAll();
    if (parts_->AwaitClosedOr(nullptr, kGoodbye)) return;
    parts_->server->Abort();
    parts_->jobs->Abandon();
  });
  std::thread calls([&] { parts_->EndCalls(streams + 2 * kGoodbye); });
  std::thread jobs([&] { parts_->jobs->AwaitIdle(streams + 2 * kGoodbye); });
  parts_->server->Drain(absl::ToChronoMilliseconds(streams + 2 * kGoodbye));
  calls.join();
  jobs.join();
  {
    MutexLock lock(&parts_->mutex);
    parts_->closed = true;
  }
  last_call.join();
  if (parts_->ledger.Drain(settles)) return true;
  Log(LogLevel::kError, "settles_lost", "pending", parts_->ledger.accountant().pending_settles());
  return false;
}

void Gateway::CutShort() {
  MutexLock lock(&parts_->mutex);
  parts_->cut_short = true;
}

}  // namespace quire::gateway
