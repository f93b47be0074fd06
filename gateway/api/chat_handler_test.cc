// The chat door over real sockets and a scripted coordinator and worker, with what a whole gateway keeps to
// itself in the test's hands: the clock, the text threads, when a model's text is loaded.
#include "gateway/api/chat_handler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/core/api_key.h"
#include "base/core/bounded_queue.h"
#include "base/core/hash.h"
#include "base/core/mutex.h"
#include "base/http/server.h"
#include "base/http/test_gzip.h"
#include "base/http/test_replies.h"
#include "base/net/grpc.h"
#include "gateway/generation/testing/scripted_backend.h"
#include "gateway/generation/testing/tiny_text.h"

namespace quire::gateway {
namespace {

using testing::ScriptedBackend;
using testing::TokenWriter;

class ChatHandlerTest : public ::testing::Test {
 protected:
  static constexpr int64_t kBlinkMs = 500;

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
    routes.Add("POST", "/chat", [this](http::Exchange& exchange) { return handler_.Handle(exchange); });
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

  ScriptedBackend backend_;
  ManualClock clock_;
  Metrics metrics_;
  const std::shared_ptr<grpc::Channel> channel_ =
      *MakeGrpcChannel(backend_.address(), {}, GatewaySecret(backend_.pepper()));
  Facts facts_;
  GenerationMetrics generation_metrics_{metrics_};
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
                                     .gateway_id = "gateway",
                                     .broken_lines = broken_lines_,
                                     .cut_off = cut_off_};
  http::HttpServerOptions options_;
  const Authenticator authenticator_{backend_.pepper(), facts_};
  Intake intake_{IntakeLimits()};
  TextThreads text_threads_{1};
  const ChatHandler handler_{
      authenticator_, catalog_, intake_, abandonments_, text_threads_, services_, std::chrono::hours(24)};
  std::unique_ptr<http::Server> server_;
};

// 8 KB of gzip are 8 MB: no I/O thread inflates. So where the text threads take no work any more, a gzip
// body can't be read, though the same few bytes as they are can.
TEST_F(ChatHandlerTest, OnlyTextThreadsInflate) {
  const std::string plain = Request(Body("unknown"));
  const std::string gzip = Request(http::Gzip(Body("unknown")), "content-encoding: gzip\r\n");
  EXPECT_EQ(CodeOf(Ask(plain)), "model_not_found");
  EXPECT_EQ(CodeOf(Ask(gzip)), "model_not_found");
  text_threads_.Stop();
  EXPECT_EQ(CodeOf(Ask(plain)), "model_not_found");
  const http::TestReply refused = Ask(gzip);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(CodeOf(refused), "no_capacity");
}

// A model of others is not looked at, whatever its state: one whose text is being loaded would be waited for
// (here for a day), one that can't be loaded has an answer of its own.
TEST_F(ChatHandlerTest, AModelOfOthersIsNotLookedFor) {
  const http::TestReply unknown = Ask(Request(Body("unknown")));
  EXPECT_EQ(unknown.status, 404);
  TellModel("theirs", std::string(32, 'x'));  // nobody loads it yet
  ASSERT_EQ(catalog_.Find("theirs")->text, nullptr);
  const http::TestReply loading = Ask(Request(Body("theirs")));
  EXPECT_EQ(loading.status, 404);
  EXPECT_EQ(loading.body, unknown.body);
  LoadModels();
  ASSERT_TRUE(catalog_.Find("theirs")->failed) << "there are no such files";
  const http::TestReply broken = Ask(Request(Body("theirs")));
  EXPECT_EQ(broken.status, 404);
  EXPECT_EQ(broken.body, unknown.body);
}

// So long its restart may take. Who can't be admitted then is told so, and newcomers before they are read.
TEST_F(ChatHandlerTest, ACoordinatorThatIsAwayIsWaitedForALittle) {
  std::atomic<int> asked{0};
  Notification waits;
  const auto over = std::make_shared<Notification>();
  backend_.admit = [&, over](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter&) {
    if (++asked == 1) waits.Notify();
    over->WaitForNotification();
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny")));
  waits.WaitForNotification();
  PassSilently(2 * services_.coordinator_patience.count());  // a queue is no absence
  for (int try_index = 0; try_index < 2; ++try_index) {
    facts_.BeginStream(clock_.NowUs());
    PassSilently(services_.coordinator_patience.count() / 2 - try_index * kBlinkMs);
    EXPECT_FALSE(client.HasReply());
  }
  PassSilently(kBlinkMs);
  const http::TestReply refused = http::TestReplies(client).Next(), newcomer = Ask(Request(Body("tiny")));
  over->Notify();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.Header("retry-after"), "1");
  EXPECT_EQ(newcomer.body, refused.body);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(CodeOf(refused), "service_unavailable");
}

// A worker that beats may take as long as it likes over an answer; one that doesn't is left, and only then.
TEST_F(ChatHandlerTest, SilenceEndsAnAttemptAndLengthDoesNot) {
  const int64_t limit_ms = services_.silence_limit.count();
  BoundedQueue<std::string> words(10);
  Notification left;
  backend_.readmit = [this](const v1::ReadmitRequest&) { return backend_.Elsewhere(2); };
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    if (request.attempt() == 1) {
      while (const auto word = words.Pop()) out.Text(*word);
      out.AwaitCancel();
      left.Notify();
    } else {
      out.Text("!");
      out.Finish(v1::FINISH_LENGTH);
    }
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)")));
  for (const char* word : {"a", "b"}) {  // longer than the limit in all
    PassSilently(limit_ms - 1000);
    words.TryPush(word);
    EXPECT_NE(client.ReadUntil(absl::StrCat(R"("content":")", word, "\"")).find(word), std::string::npos);
  }
  EXPECT_FALSE(left.HasBeenNotified());
  words.Close();
  PassSilently(limit_ms + 1);
  EXPECT_TRUE(left.WaitForNotificationWithTimeout(absl::Seconds(60)));
  const std::string end = client.ReadUntil("[DONE]");
  EXPECT_NE(end.find(R"("content":"!")"), std::string::npos) << end;
  EXPECT_EQ(end.find("error"), std::string::npos) << end;
}

// A stop of this process (SIGSTOP, a machine's pause) breaks its connections: no group has failed by that,
// and so none is avoided, and an answer survives any number of stops.
TEST_F(ChatHandlerTest, AStopOfTheGatewayIsNoFailureOfItsGroups) {
  constexpr int kStops = Attempts::kMaxFailed + 1;
  std::atomic<int> blamed{0};
  BoundedQueue<bool> broken(kStops);
  backend_.readmit = [&](const v1::ReadmitRequest& request) {
    blamed += request.failed_group_id().empty() ? 0 : 1;
    return backend_.Elsewhere(1);
  };
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    if (request.attempt() <= kStops) {
      broken.Pop();
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "keepalive watchdog timeout");
    }
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)")));
  for (int stop = 0; stop < kStops; ++stop) {
    client.ReadUntil(R"("content":"a")");
    LetThemLook();
    clock_.AdvanceMs(4000);
    broken.TryPush(true);
  }
  const std::string end = client.ReadUntil("[DONE]");
  broken.Close();
  EXPECT_NE(end.find(R"("finish_reason":"length")"), std::string::npos) << end;
  EXPECT_EQ(end.find("error"), std::string::npos) << end;
  EXPECT_EQ(blamed, 0);
}

// Its handler is held up in a write while the attempt goes on, and ends.
class SlowReaderTest : public ChatHandlerTest {
 protected:
  static constexpr int kTokens = 1400;

  void SetUp() override {
    options_.limits.send_buffer_bytes = 4096;
    options_.limits.queued_frames = 8;
    ChatHandlerTest::SetUp();
  }
  // So much time passes at once while nobody looks; then the group is gone. Returns whom Readmit named.
  std::string BlamedAfter(int64_t ms) {
    Notification sent, gone;
    std::string blamed;
    backend_.readmit = [&](const v1::ReadmitRequest& request) {
      blamed = request.failed_group_id();
      return backend_.Elsewhere(2);
    };
    backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
      out.Accept();
      if (request.attempt() == 1) {
        out.Text(std::string(kTokens, 'x'));  // more than a client that does not read lets out
        sent.Notify();
        gone.WaitForNotification();
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "it died");
      }
      out.Finish(v1::FINISH_LENGTH);
      return grpc::Status::OK;
    };
    http::TestClient client(server_->port(), /*receive_buffer=*/4096);
    client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 1450)")));
    sent.WaitForNotification();
    client.ReadUntil(R"("content":"x")");
    LetThemLook();
    clock_.AdvanceMs(ms);
    gone.Notify();
    const std::string end = client.ReadUntil("[DONE]");
    EXPECT_NE(end.find(R"("finish_reason":"length")"), std::string::npos) << end;
    return blamed;
  }
};

TEST_F(SlowReaderTest, AWriteThatWaitsIsNoSleep) { EXPECT_EQ(BlamedAfter(1400), "g"); }

TEST_F(SlowReaderTest, ASleepDuringAWriteIsOne) { EXPECT_EQ(BlamedAfter(4000), ""); }

TEST_F(ChatHandlerTest, WhoSleptJudgesNoSilence) {
  std::atomic<int> attempts{0};
  BoundedQueue<std::string> words(10);
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    ++attempts;
    out.Accept();
    while (const auto word = words.Pop()) out.Text(*word);
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)")));
  words.TryPush("a");
  client.ReadUntil(R"("content":"a")");
  clock_.AdvanceMs(services_.silence_limit.count() + 1000);
  LetThemLook();
  PassSilently(services_.silence_limit.count() - kBlinkMs);  // so long it has not been silent
  words.TryPush("b");
  words.Close();
  const std::string end = client.ReadUntil("[DONE]");
  EXPECT_NE(end.find(R"("content":"b")"), std::string::npos) << end;
  EXPECT_EQ(attempts, 1);
}

// A worker that has others' tokens to send, and none for this one yet, is well.
TEST_F(ChatHandlerTest, AGroupThatSpeaksToOthersIsNotSilent) {
  std::atomic<int> attempts{0};
  Notification waits, over;
  BoundedQueue<std::string> words(10);
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    if (++attempts == 1) {
      out.Accept();
      waits.Notify();
      over.WaitForNotification();
    } else {
      out.Accept();
      while (const auto word = words.Pop()) out.Text(*word);
    }
    out.Text("!");
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient quiet(server_->port()), loud(server_->port());
  const std::string request = Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)"));
  quiet.Send(request);
  waits.WaitForNotification();
  loud.Send(request);
  for (const char* word : {"a", "b", "c"}) {
    PassSilently(services_.silence_limit.count() - 1000);
    words.TryPush(word);
    loud.ReadUntil(absl::StrCat(R"("content":")", word, "\""));
  }
  words.Close();
  over.Notify();
  EXPECT_NE(quiet.ReadUntil("[DONE]").find(R"("content":"!")"), std::string::npos);
  EXPECT_EQ(attempts, 2);
}

// Tokens without text wait for nobody: they hold nothing up, however many come in a row.
TEST_F(ChatHandlerTest, ManyTokensWithoutTextAreReadToTheEnd) {
  std::atomic<int> attempts{0};
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    ++attempts;
    out.Accept();
    for (int i = 0; i < 1400; ++i) out.Token(256);
    out.Text("ok");
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  const http::TestReply reply = Ask(Request(Body("tiny", R"(, "max_tokens": 1450)")));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto answer = nlohmann::json::parse(reply.body);
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "ok");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 1402);
  EXPECT_EQ(attempts, 1);
}

// Who reads nothing hears nothing. Text that waits for a grant stops the reading; then the worker is not to
// blame for the silence.
TEST_F(ChatHandlerTest, AWorkerThatIsNotReadIsNotSilent) {
  constexpr uint64_t kGrant = 4, kHeld = 1024;
  std::atomic<bool> generous{false};
  std::atomic<int> attempts{0};
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    write(backend_.Grant(kGrant));
    return grpc::Status::OK;
  };
  backend_.progress = [&](const v1::RequestProgress& progress) {
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(generous ? progress.want_positions() : kGrant);
    return result;
  };
  Notification held;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    ++attempts;
    out.Accept();
    out.Text(std::string(kGrant + kHeld, 'x'));
    held.WaitForNotification();  // it is read on up to here, and no further than what is read ahead
    out.Text(std::string(WorkerClient::kReadAhead + 1, 'y'));
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "max_tokens": 1450, "stream": true)")));
  AwaitTokens(kGrant + kHeld);
  held.Notify();
  // Grants come in whole steps, of what was dealt with before too much was held.
  AwaitTokens((kGrant + kHeld) / WorkerClient::kGrantTokens * WorkerClient::kGrantTokens +
              WorkerClient::kReadAhead);
  PassSilently(services_.silence_limit.count() + kBlinkMs);
  generous = true;
  PassSilently(kBlinkMs);  // for the next Progress
  const std::string stream = client.ReadUntil("[DONE]");
  EXPECT_NE(stream.find(R"("content":"y")"), std::string::npos) << stream;
  EXPECT_EQ(stream.find("error"), std::string::npos) << stream;
  EXPECT_EQ(attempts, 1);
}

}  // namespace
}  // namespace quire::gateway
