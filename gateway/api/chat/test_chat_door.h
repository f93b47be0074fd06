// For tests only: the chat door over real sockets and a scripted coordinator and worker, with what a whole
// gateway keeps to itself in the test's hands: the clock, the text threads, when a model's text is loaded.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/core/api_key.h"
#include "base/core/hash.h"
#include "base/core/mutex.h"
#include "base/http/server.h"
#include "base/http/test_replies.h"
#include "base/net/grpc.h"
#include "gateway/api/chat/chat_door.h"
#include "gateway/api/pipeline/http_door.h"
#include "gateway/generation/testing/scripted_backend.h"
#include "gateway/generation/testing/tiny_text.h"

namespace quire::gateway {

class ChatDoorTest : public ::testing::Test {
 protected:
  static constexpr int64_t kBlinkMs = 500;

  explicit ChatDoorTest(std::chrono::milliseconds max_wait = std::chrono::seconds(60))
      : max_wait_(max_wait) {}

  void SetUp() override {
    clock_.AdvanceMs(1000);
    facts_.BeginStream(clock_.NowUs());
    Tell([&](v1::WatchEvent& event) {
      v1::KeyFact& key = *event.mutable_key();
      key.set_key_id(ParseApiKey(backend_.key())->id);
      key.set_key_hmac(ToBytes(ApiKeyHmac(backend_.pepper(), backend_.key())));
      key.set_account_id("account");
      key.add_models("tiny");
    });
    TellModel("tiny", ToBytes(Sha256(testing::TinyBundle().SerializeAsString())));
    Tell([](v1::WatchEvent& event) { event.set_synced(true); });
    LoadModels();
    http::RouteTable routes;
    routes.Add("POST", "/chat", [this](http::Exchange& exchange) { return door_.Handle(exchange); });
    auto server = http::Server::Start(options_, std::move(routes), metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void TearDown() override {
    text_threads_.Stop();
    server_.reset();
  }

  template <typename Fill>
  void Tell(Fill fill) {
    v1::WatchEvent event;
    fill(event);
    facts_.Apply(event);
  }
  void TellModel(const std::string& name, const std::string& digest) {
    Tell([&](v1::WatchEvent& event) {
      v1::ModelFact& model = *event.mutable_model();
      model.set_model(name);
      model.set_bundle_digest(digest);
      model.set_max_context(2000);
      model.set_plain_context(1000);
      model.set_max_output_tokens(1500);
    });
  }
  void LoadModels() {
    Notification loaded;
    catalog_.AfterNextLoad([&] { loaded.Notify(); });
    catalog_.Refresh();
    loaded.WaitForNotification();
  }

  std::string Request(const std::string& body, const std::string& headers = "") const {
    return absl::StrCat("POST /chat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ", backend_.key(), "\r\n",
                        headers, "content-length: ", body.size(), "\r\n\r\n", body);
  }
  static std::string Body(const std::string& model, const std::string& fields = "") {
    return absl::StrCat(R"({"model": ")", model, R"(", "messages": [{"role": "user", "content": "hi"}])",
                        fields, "}");
  }
  http::TestReply Ask(const std::string& request) const {
    http::TestClient client(server_->port());
    client.Send(request);
    return http::TestReplies(client).Next();
  }
  static std::string CodeOf(const http::TestReply& reply) {
    return nlohmann::json::parse(reply.body)["error"]["code"];
  }
  // Whoever waits has looked at the time when this returns: the server has one thread, which does first what
  // it was told first.
  void LetThemLook() {
    ledger_.WakeAll();
    Ask("GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n");
  }
  // So many messages of tokens have been handled, and what the handler does then is done.
  void AwaitTokens(uint64_t count) {
    const std::string line = absl::StrCat("quire_gateway_inter_token_seconds_count ", count - 1, "\n");
    for (const absl::Time end = absl::Now() + absl::Seconds(60); absl::Now() < end;) {
      if (metrics_.Text().find(line) != std::string::npos) return;
    }
    ADD_FAILURE() << "no " << line << metrics_.Text();
  }
  // Time passes while everybody is awake.
  void PassSilently(int64_t ms) {
    for (; ms > 0; ms -= kBlinkMs) {
      clock_.AdvanceMs(std::min(ms, kBlinkMs));
      LetThemLook();
    }
  }

  const std::chrono::milliseconds max_wait_;
  testing::ScriptedBackend backend_;
  ManualClock clock_;
  Metrics metrics_;
  const std::shared_ptr<grpc::Channel> channel_ =
      *MakeGrpcChannel(backend_.address(), {}, GatewaySecret(backend_.pepper()));
  Facts facts_;
  GenerationMetrics generation_metrics_{metrics_};
  ModelActivity activity_;
  CoordinatorClient coordinator_{channel_};
  WorkerClient workers_{[](const std::string& address) { return MakeGrpcChannel(address, {}); }, clock_};
  LedgerDriver ledger_{channel_, clock_, AccountantOptions()};
  ModelCatalog catalog_{channel_, facts_};
  Budgets broken_lines_{{.burst = 100, .every_us = 1}}, abandonments_{{.burst = 100, .every_us = 1}};
  const std::atomic<bool> cut_off_ = false;
  const GenerationServices services_{.coordinator = coordinator_,
                                     .workers = workers_,
                                     .ledger = ledger_,
                                     .facts = facts_,
                                     .clock = clock_,
                                     .metrics = generation_metrics_,
                                     .activity = activity_,
                                     .gateway_id = "gateway",
                                     .broken_lines = broken_lines_,
                                     .cut_off = cut_off_,
                                     .max_wait = max_wait_};
  http::HttpServerOptions options_;
  const Authenticator authenticator_{backend_.pepper(), facts_};
  Intake intake_{IntakeLimits()};
  TextThreads text_threads_{1};
  const Pipeline pipeline_{authenticator_,        catalog_, intake_, abandonments_, text_threads_, services_,
                           std::chrono::hours(24)};
  const HttpDoor door_{pipeline_, ParseChat};
  std::unique_ptr<http::Server> server_;
};

}  // namespace quire::gateway
