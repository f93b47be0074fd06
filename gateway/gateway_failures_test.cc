// What goes wrong around an answer: one terminal frame, a right bill and a stopped worker, whatever happens.
#include <algorithm>

#include "base/core/bounded_queue.h"
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

class GatewayFailuresTest : public GatewayTest {};

TEST_F(GatewayFailuresTest, OutOfBudgetEndsWithinTheGrant) {
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    write(backend_.Grant(4));
    return kOk;
  };
  backend_.progress = [](const v1::RequestProgress& progress) {
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(4);
    result.set_stop(v1::STOP_BUDGET);
    return result;
  };
  AnswerWith("a longer answer");
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "a lo");
  EXPECT_EQ(stream.finish_reason, "length");  // the API knows no other word for it
  EXPECT_EQ(stream.usage["completion_tokens"], 4);
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_BUDGET);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 4u);
}

TEST_F(GatewayFailuresTest, ARevokedKeyEndsTheStreamWithOneError) {
  backend_.progress = [](const v1::RequestProgress& progress) {
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(40);
    result.set_stop(v1::STOP_REVOKED);
    return result;
  };
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("ab");
    out.AwaitCancel();
    return kOk;
  };
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "ab");
  EXPECT_EQ(stream.last_error["code"], "invalid_api_key");
  EXPECT_TRUE(stream.usage.is_null());
  EXPECT_EQ(backend_.AwaitSettle().reason(), v1::SETTLE_REVOKED);
}

TEST_F(GatewayFailuresTest, AGroupThatAlwaysDiesBeforeTheFirstTokenGivesOneError) {
  backend_.readmit = [&](const v1::ReadmitRequest& request) {
    return backend_.Elsewhere(request.failed_group_epoch() + 1);
  };
  for (const grpc::Status& how : {grpc::Status(grpc::StatusCode::UNAVAILABLE, "rank 1 is gone"), kOk}) {
    backend_.generate = [how](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept();
      return how;
    };
    const HttpAnswer whole = Chat("");
    EXPECT_EQ(whole.status, 503);
    EXPECT_NE(whole.head.find("retry-after"), std::string::npos);
    EXPECT_TRUE(json::parse(whole.body).contains("error"));
    const HttpAnswer streamed = Chat("\"stream\": true");
    if (streamed.status != 200) {  // no grant came before the end
      EXPECT_EQ(streamed.status, 503);
      continue;
    }
    const Stream stream = ParseStream(streamed.body);
    EXPECT_EQ(stream.errors, 1);
    EXPECT_EQ(stream.text, "");
  }
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(3)), 0u);
}

TEST_F(GatewayFailuresTest, AWorkerWithoutRoomIsAskedForAnotherPlacement) {
  std::atomic<int> calls{0};
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    if (++calls == 1) return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    EXPECT_EQ(request.attempt(), 2u);
    out.Accept();
    out.Text("ok");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "ok");
  EXPECT_EQ(stream.finish_reason, "length");
}

TEST_F(GatewayFailuresTest, AWorkerThatNeverHasRoomGivesAnErrorInTheEnd) {
  GatewayOptions options;
  options.max_wait = std::chrono::milliseconds(300);
  StartGateway(options);
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter&) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
  };
  EXPECT_EQ(Chat("").status, 503);
}

TEST_F(GatewayFailuresTest, AnAdmitThatBreaksIsSentAgain) {
  std::atomic<int> calls{0};
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    if (++calls == 1) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting");
    write(backend_.Grant(256));
    return kOk;
  };
  AnswerWith("ok");
  EXPECT_EQ(ChatStream().text, "ok");
  EXPECT_EQ(calls, 2);
}

// What a coordinator answers to those in its queue when it ends.
TEST_F(GatewayFailuresTest, WhoWaitsInTheQueueOfACoordinatorThatEndsAsksItsSuccessor) {
  Mutex mutex;
  std::vector<v1::AdmitRequest> asked;
  backend_.admit = [&](const v1::AdmitRequest& request, const ScriptedBackend::AdmitWriter& write) {
    MutexLock lock(&mutex);
    asked.push_back(request);
    if (asked.size() <= 2) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "ending");
    write(backend_.Placement());
    write(backend_.Grant(256));
    return kOk;
  };
  AnswerWith("ok");
  EXPECT_EQ(Chat("").status, 200);
  MutexLock lock(&mutex);
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_EQ(asked[2].request_id(), asked[0].request_id());
  EXPECT_LE(asked[2].max_wait_ms(), asked[0].max_wait_ms());
}

TEST_F(GatewayFailuresTest, WhoLeavesWhileTheCoordinatorIsAwayIsNotAdmittedAnyMore) {
  Notification broken;
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter&) {
    if (!broken.HasBeenNotified()) broken.Notify();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "ending");
  };
  http::TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody(""), backend_.key()));
  ASSERT_TRUE(broken.WaitForNotificationWithTimeout(absl::Seconds(60)));
  client.Reset();
  EXPECT_EQ(backend_.AwaitSettle().reason(), v1::SETTLE_ABANDONED);
}

TEST_F(GatewayFailuresTest, ACoordinatorThatKeepsBreakingIsNotWaitedForForever) {
  GatewayOptions options;
  options.max_wait = std::chrono::milliseconds(300);
  StartGateway(options);
  std::atomic<int> calls{0};
  backend_.admit = [&](const v1::AdmitRequest& request, const ScriptedBackend::AdmitWriter&) {
    EXPECT_LE(request.max_wait_ms(), 301u);
    ++calls;
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting");
  };
  EXPECT_EQ(Chat("\"stream\": true").status, 503);
  EXPECT_GE(calls, 1);  // how often the time allows is the machine's affair
  EXPECT_EQ(backend_.AwaitSettle().reason(), v1::SETTLE_ABANDONED);
}

TEST_F(GatewayFailuresTest, AnAnswerThatIsWholeBeforeItsAdmitBreaksIsStillAdmitted) {
  Notification answered;  // the gateway stops the worker once it has the stop string
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("ok!");
    out.AwaitCancel();
    answered.Notify();
    return kOk;
  };
  std::atomic<int> calls{0};
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    if (++calls == 1) {
      answered.WaitForNotification();
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting");
    }
    write(backend_.Grant(256));
    return kOk;
  };
  EXPECT_EQ(ChatStream(R"("stop": "!")").text, "ok");
  EXPECT_EQ(calls, 2);
}

TEST_F(GatewayFailuresTest, AGrantWithoutAPlacementAsksForOne) {
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Grant(256));
    return kOk;
  };
  AnswerWith("ok");
  EXPECT_EQ(ChatStream().text, "ok");
}

TEST_F(GatewayFailuresTest, ASettleIsSentUntilAcknowledged) {
  backend_.settles_to_refuse = 2;
  AnswerWith("ok");
  ChatStream();
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 3u);
  EXPECT_TRUE(gateway_->Drain(absl::Seconds(10), absl::Seconds(30)));
}

TEST_F(GatewayFailuresTest, RefusalsBecomeTheirStatus) {
  const std::vector<std::pair<v1::RefusalReason, int>> table = {
      {v1::REFUSAL_KEY, 401},         {v1::REFUSAL_SCOPE, 404},     {v1::REFUSAL_MODEL, 404},
      {v1::REFUSAL_BUDGET, 402},      {v1::REFUSAL_RATE, 429},      {v1::REFUSAL_QUEUE_FULL, 429},
      {v1::REFUSAL_NO_CAPACITY, 503}, {v1::REFUSAL_TOO_LARGE, 400}, {v1::REFUSAL_LEDGER, 503},
      {v1::REFUSAL_OUTDATED, 503},    {v1::REFUSAL_CLOSED, 503},    {v1::REFUSAL_UNSPECIFIED, 500},
  };
  for (const auto& [reason, status] : table) {
    backend_.admit = [reason = reason](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
      write(ScriptedBackend::Refusal(reason, 9));
      return kOk;
    };
    const HttpAnswer answer = Chat("\"stream\": true");
    EXPECT_EQ(answer.status, status) << reason;
    EXPECT_EQ(answer.head.find("retry-after: 9") != std::string::npos, status == 429 || status == 503)
        << answer.head;
  }
}

TEST_F(GatewayFailuresTest, ARefusalAfterThePlacementStopsTheWorker) {
  Notification working, cancelled;
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    working.WaitForNotification();
    write(ScriptedBackend::Refusal(v1::REFUSAL_BUDGET));
    return kOk;
  };
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    working.Notify();
    out.AwaitCancel();
    cancelled.Notify();
    return kOk;
  };
  EXPECT_EQ(Chat("").status, 402);
  EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST_F(GatewayFailuresTest, AClientThatLeavesCancelsTheWorkerAndPaysForWhatItGot) {
  Notification cancelled;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("abcd");
    out.AwaitCancel();  // comes though no further token is made
    cancelled.Notify();
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody("\"stream\": true"), backend_.key()));
  client.ReadUntil("\"content\":\"d\"");
  client.Close();
  EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(30)));
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_CLIENT_GONE);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 4u);
}

// The FIN of a half-close is that of a close: nothing tells them apart before something is written, and who
// waits in the queue, or for a whole answer, is written nothing.
TEST_F(GatewayFailuresTest, AClientThatClosesItsSendingSideHasLeft) {
  for (const char* fields : {"", "\"stream\": true"}) {
    auto started = std::make_shared<Notification>(), cancelled = std::make_shared<Notification>();
    backend_.generate = [started, cancelled](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept();
      started->Notify();
      out.AwaitCancel();
      cancelled->Notify();
      return kOk;
    };
    http::TestClient client(gateway_->api_port());
    client.Send(Request("POST", "/v1/chat/completions", ChatBody(fields), backend_.key()));
    started->WaitForNotification();
    client.HalfClose();
    EXPECT_TRUE(cancelled->WaitForNotificationWithTimeout(absl::Seconds(60)));
    EXPECT_EQ(client.ReadToEnd().find("[DONE]"), std::string::npos);
    EXPECT_TRUE(client.closed_by_server());
  }
  EXPECT_EQ(backend_.AwaitSettle(0).reason(), v1::SETTLE_ABANDONED);
  EXPECT_EQ(backend_.AwaitSettle(1).reason(), v1::SETTLE_ABANDONED);
}

TEST_F(GatewayFailuresTest, AClientThatLeavesBeforeTheAnswerOwesNothing) {
  Notification started, cancelled;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    started.Notify();
    out.AwaitCancel();
    cancelled.Notify();
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody(""), backend_.key()));
  started.WaitForNotification();
  client.Reset();
  EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(30)));
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_ABANDONED);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 0u);
}

TEST_F(GatewayFailuresTest, DrainFinishesStreamsAndSettlesThem) {
  Notification started, go;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    started.Notify();
    go.WaitForNotification();
    out.Text("b");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody("\"stream\": true"), backend_.key()));
  started.WaitForNotification();
  std::thread drain([&] { EXPECT_TRUE(gateway_->Drain(absl::Seconds(30), absl::Seconds(30))); });
  go.Notify();
  const Stream stream = ParseStream(Parse(client.ReadToEnd()).body);
  drain.join();
  EXPECT_EQ(stream.text, "ab");
  EXPECT_EQ(stream.terminals(), 1);
  EXPECT_EQ(backend_.settled(), 1u);
}

TEST_F(GatewayFailuresTest, ADrainThatCutsAStreamOffGivesItOneError) {
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    out.AwaitCancel();
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody("\"stream\": true"), backend_.key()));
  const std::string beginning = client.ReadUntil("\"content\":\"a\"");
  EXPECT_TRUE(gateway_->Drain(absl::ZeroDuration(), absl::Seconds(30)));
  const Stream stream = ParseStream(Parse(beginning + client.ReadToEnd()).body);
  EXPECT_EQ(stream.text, "a");
  EXPECT_EQ(stream.errors, 1);
  EXPECT_EQ(stream.dones, 1);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 1u);
}

// The worker has done its part, and no grant will ever come for the rest.
TEST_F(GatewayFailuresTest, ADrainCutsOffAWholeAnswerThatWaitsForAGrantToo) {
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Grant(4));
    write(backend_.Placement());
    return kOk;
  };
  backend_.progress = [](const v1::RequestProgress& progress) {
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(4);
    return result;
  };
  BoundedQueue<bool> ended(8);  // the gateway stops the worker once it has the stop string
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("abcdefg!");
    out.AwaitCancel();
    ended.TryPush(true);
    return kOk;
  };
  http::TestClient streamed(gateway_->api_port()), whole(gateway_->api_port());
  const std::string fields = R"("stop": "!", "stream": )";
  for (const auto& [client, value] : {std::pair(&streamed, "true"), std::pair(&whole, "false")}) {
    client->Send(Request("POST", "/v1/chat/completions", ChatBody(fields + value), backend_.key()));
    ended.Pop();
  }
  const std::string beginning = streamed.ReadUntil("\"content\":\"d\"");
  EXPECT_TRUE(gateway_->Drain(absl::ZeroDuration(), absl::Seconds(30)));
  const Stream stream = ParseStream(Parse(beginning + streamed.ReadToEnd()).body);
  EXPECT_EQ(stream.text, "abcd");
  EXPECT_EQ(stream.errors, 1);
  EXPECT_EQ(stream.dones, 1);
  EXPECT_EQ(Parse(whole.ReadToEnd()).status, 503);
  std::vector<uint64_t> delivered = {ScriptedBackend::DeliveredOf(backend_.AwaitSettle(0)),
                                     ScriptedBackend::DeliveredOf(backend_.AwaitSettle(1))};
  std::sort(delivered.begin(), delivered.end());
  EXPECT_EQ(delivered, (std::vector<uint64_t>{0, 4}));
}

}  // namespace
}  // namespace quire::gateway
