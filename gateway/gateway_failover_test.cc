// An answer whose group dies, drains or falls silent goes on on another one: the client's bytes, its usage
// and the bill are those of the undisturbed run.
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

class GatewayFailoverTest : public GatewayTest {
 protected:
  explicit GatewayFailoverTest(const v1::TextBundle& bundle = testing::TinyBundle()) : GatewayTest(bundle) {}

  void SetUp() override {
    GatewayTest::SetUp();
    // The grant first: whatever a worker sends may be written then, also what comes together with its end.
    backend_.admit = [this](const v1::AdmitRequest& request, const ScriptedBackend::AdmitWriter& write) {
      {
        MutexLock lock(&mutex_);
        admitted_ = request;
      }
      write(backend_.Grant(request.max_tokens()));
      write(backend_.Placement());
      return kOk;
    };
    backend_.readmit = [this](const v1::ReadmitRequest& request) {
      MutexLock lock(&mutex_);
      readmits_.push_back(request);
      return backend_.Elsewhere(readmits_.size() + 1);
    };
  }

  // The worker makes `ids`; attempt i ends with `how` once cuts[i - 1] of them were sent in all.
  void Make(std::vector<TokenId> ids, std::vector<size_t> cuts,
            grpc::StatusCode how = grpc::StatusCode::UNAVAILABLE) {
    backend_.generate = [ids, cuts, how](const v1::GenerateRequest& request, TokenWriter& out) {
      const auto& resumed = request.choices(0).resumed_ids();
      EXPECT_TRUE(std::equal(resumed.begin(), resumed.end(), ids.begin())) << request.attempt();
      EXPECT_EQ(request.max_tokens(), 40u);
      out.Accept(request.attempt() == 1 ? 3 : 0);
      const bool cut = request.attempt() <= cuts.size();
      const size_t end = cut ? cuts[request.attempt() - 1] : ids.size();
      for (size_t i = resumed.size(); i < end; ++i) out.Token(ids[i]);
      if (cut) return grpc::Status(how, "rank 1 is gone");
      out.Finish(v1::FINISH_STOP);
      return kOk;
    };
  }
  static std::vector<TokenId> Ids(const std::string& text) {
    std::vector<TokenId> ids = testing::TinyIds(text);
    ids.push_back(kTinyEos);
    return ids;
  }
  std::vector<v1::ReadmitRequest> TakeReadmits() {
    MutexLock lock(&mutex_);
    return std::exchange(readmits_, {});
  }

  std::string AdmittedBundle() {
    MutexLock lock(&mutex_);
    return admitted_.bundle_digest();
  }
  // The hash of the prompt's one whole block, as the last Admit said it.
  std::string AdmittedPrefix() {
    MutexLock lock(&mutex_);
    EXPECT_EQ(admitted_.prefix_hashes_size(), 1);
    return admitted_.prefix_hashes(0);
  }

  Mutex mutex_;
  v1::AdmitRequest admitted_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::ReadmitRequest> readmits_ ABSL_GUARDED_BY(mutex_);
};

const char kText[] = "na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x8E\x88.";  // two, three and four bytes

TEST_F(GatewayFailoverTest, AStreamCutAtAnyTokenIsTheUndisturbedOne) {
  const std::vector<TokenId> ids = Ids(kText);
  Make(ids, {});
  const Stream calm = ChatStream();
  EXPECT_EQ(calm.text, kText);
  const v1::RequestSettle calm_bill = backend_.AwaitSettle(0);
  for (size_t cut = 0; cut <= ids.size(); ++cut) {
    Make(ids, {cut});
    const Stream stream = ChatStream();
    EXPECT_EQ(stream.text, kText) << cut;
    EXPECT_EQ(stream.finish_reason, calm.finish_reason) << cut;
    EXPECT_EQ(stream.usage, calm.usage) << cut;
    const v1::RequestSettle bill = backend_.AwaitSettle(cut + 1);
    EXPECT_EQ(ScriptedBackend::DeliveredOf(bill), ids.size()) << cut;
    EXPECT_EQ(bill.cached_tokens(), calm_bill.cached_tokens()) << cut;
    EXPECT_EQ(bill.reason(), v1::SETTLE_COMPLETED) << cut;
    uint64_t first = 0, second = 0;
    for (const v1::GroupTokens& made : bill.made_by()) {
      (made.group_epoch() == 1 ? first : second) += made.tokens();
    }
    EXPECT_EQ(first, cut);
    EXPECT_EQ(second, ids.size() - cut);
    const std::vector<v1::ReadmitRequest> readmits = TakeReadmits();
    ASSERT_EQ(readmits.size(), 1u);
    EXPECT_EQ(readmits[0].tokens_so_far(), readmits[0].prompt_tokens() + cut);
    EXPECT_EQ(readmits[0].failed_group_id(), "g");
    EXPECT_EQ(readmits[0].failed_group_epoch(), 1u);
    ASSERT_EQ(readmits[0].prefix_hashes_size(), 1);
    EXPECT_EQ(readmits[0].prefix_hashes(0), AdmittedPrefix());
    EXPECT_EQ(readmits[0].bundle_digest().size(), 32u);
    EXPECT_EQ(readmits[0].bundle_digest(), AdmittedBundle());
  }
}

TEST_F(GatewayFailoverTest, AWholeAnswerCutAtAnyTokenIsTheUndisturbedOne) {
  const std::vector<TokenId> ids = Ids(kText);
  Make(ids, {});
  const json calm = json::parse(Chat("").body);
  for (size_t cut = 0; cut <= ids.size(); ++cut) {
    Make(ids, {cut / 2, cut});
    const json answer = json::parse(Chat("").body);
    EXPECT_EQ(answer["choices"], calm["choices"]) << cut;
    EXPECT_EQ(answer["usage"], calm["usage"]) << cut;
    EXPECT_EQ(backend_.AwaitSettle(cut + 1).cached_tokens(), 3u);
    TakeReadmits();
  }
}

TEST_F(GatewayFailoverTest, AStopStringIsFoundAcrossTheCut) {
  const std::vector<TokenId> ids = Ids("one, STOP two");
  for (size_t cut = 4; cut <= 9; ++cut) {
    Make(ids, {cut});
    const Stream stream = ChatStream(R"("stop": "STOP")");
    EXPECT_EQ(stream.text, "one, ") << cut;
    EXPECT_EQ(stream.finish_reason, "stop");
    EXPECT_EQ(stream.usage["completion_tokens"], 9) << cut;
    TakeReadmits();
  }
}

// The bundle's model reasons; where it was cut changes nothing of what is told apart.
class GatewayReasoningFailoverTest : public GatewayFailoverTest {
 protected:
  GatewayReasoningFailoverTest() : GatewayFailoverTest(testing::TinyReasoningBundle()) {}
};

TEST_F(GatewayReasoningFailoverTest, ReasoningCutAtAnyTokenIsTheUndisturbedOne) {
  std::vector<TokenId> ids = testing::TinyIds("\xE2\x82\xAC hm\n");
  ids.push_back(259);  // </think>
  for (const TokenId id : Ids("\n\nna\xC3\xAFve")) ids.push_back(id);
  size_t settled = 0;
  for (const char* fields : {"", R"("separate_reasoning": false)", R"("reasoning": {"exclude": true})"}) {
    Make(ids, {});
    const Stream calm = ChatStream(fields);
    ++settled;
    EXPECT_EQ(calm.usage["completion_tokens_details"]["reasoning_tokens"], 8) << fields;
    for (size_t cut = 0; cut <= ids.size(); ++cut) {
      Make(ids, {cut});
      const Stream stream = ChatStream(fields);
      EXPECT_EQ(stream.reasoning, calm.reasoning) << cut;
      EXPECT_EQ(stream.text, calm.text) << cut;
      EXPECT_EQ(stream.usage, calm.usage) << cut;
      EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(settled++)), ids.size()) << cut;
      TakeReadmits();
    }
  }
}

TEST_F(GatewayFailoverTest, TheThirdFailureEndsTheStreamWithOneError) {
  Make(Ids("abcdef"), {1, 3, 4});
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "abcd");
  EXPECT_EQ(stream.errors, 1);
  EXPECT_TRUE(stream.usage.is_null());
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_SERVER_ERROR);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 4u);
  EXPECT_EQ(settle.made_by_size(), 3);
}

TEST_F(GatewayFailoverTest, GroupsThatDrainCountAsNoFailure) {
  Make(Ids("abcdef"), {1, 2, 3, 4, 5}, grpc::StatusCode::ABORTED);
  EXPECT_EQ(ChatStream().text, "abcdef");
  for (const v1::ReadmitRequest& readmit : TakeReadmits()) EXPECT_EQ(readmit.failed_group_id(), "");
}

TEST_F(GatewayFailoverTest, AFullGroupIsNoFailedOne) {
  const auto refuses = [](const v1::ReadmitRequest& request) { return request.failed_group_id() != ""; };
  backend_.readmit = [&](const v1::ReadmitRequest& request) {  // the only group there is
    v1::ReadmitReply reply = backend_.Elsewhere(1);
    if (refuses(request)) reply.mutable_refusal()->set_reason(v1::REFUSAL_NO_CAPACITY);
    return reply;
  };
  std::atomic<int> calls{0};
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    if (++calls <= 5) return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    out.Accept();
    out.Text("ok");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  EXPECT_EQ(ChatStream().text, "ok");
}

TEST_F(GatewayFailoverTest, ARequestThatFailedAloneIsNotTriedAgain) {
  Make(Ids("abc"), {2}, grpc::StatusCode::INTERNAL);
  EXPECT_EQ(ChatStream().errors, 1);
  EXPECT_TRUE(TakeReadmits().empty());
}

TEST_F(GatewayFailoverTest, WaitsThroughRefusalsForAGroupToComeBack) {
  std::atomic<int> refusals{0};
  backend_.readmit = [&](const v1::ReadmitRequest&) {
    v1::ReadmitReply reply = backend_.Elsewhere(2);
    if (++refusals <= 3) reply.mutable_refusal()->set_reason(v1::REFUSAL_NO_CAPACITY);
    return reply;
  };
  Make(Ids("abc"), {2});
  EXPECT_EQ(ChatStream().text, "abc");
}

TEST_F(GatewayFailoverTest, GivesUpWhenNoGroupComesBack) {
  GatewayOptions options;
  options.max_wait = std::chrono::milliseconds(200);
  StartGateway(options);
  backend_.readmit = [&](const v1::ReadmitRequest&) {
    v1::ReadmitReply reply;
    reply.mutable_refusal()->set_reason(v1::REFUSAL_NO_CAPACITY);
    return reply;
  };
  Make(Ids("abc"), {2});
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "ab");
  EXPECT_EQ(stream.errors, 1);
}

// Nobody will have its text again: the error comes at once, whatever patience is left.
TEST_F(GatewayFailoverTest, AStreamWhoseTextIsGoneEndsAtItsFirstAsking) {
  std::atomic<int> asked{0};
  backend_.readmit = [&](const v1::ReadmitRequest&) {
    ++asked;
    v1::ReadmitReply reply;
    reply.mutable_refusal()->set_reason(v1::REFUSAL_OUTDATED);
    reply.mutable_refusal()->set_retry_after_s(1);
    return reply;
  };
  Make(Ids("abc"), {2});
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "ab");
  EXPECT_EQ(stream.errors, 1);
  EXPECT_EQ(stream.last_error["code"], "model_changed");
  EXPECT_EQ(asked, 1);
}

TEST_F(GatewayFailoverTest, AGroupThatSendsNonsenseIsLeft) {
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    out.Text(request.attempt() == 1 ? "ab" : "c");
    if (request.attempt() == 1) {
      TokenWriter again = out;  // repeats the next position
      out.Text("x");
      again.Text("y");
      out.AwaitCancel();
      return kOk;
    }
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  EXPECT_EQ(ChatStream().text, "abxc");
}

TEST_F(GatewayFailoverTest, OtherNumericsAreCounted) {
  backend_.readmit = [&](const v1::ReadmitRequest&) { return backend_.Elsewhere(2, "other-numerics"); };
  Make(Ids("abc"), {2});
  EXPECT_EQ(ChatStream().text, "abc");
  EXPECT_NE(Metrics().find("quire_gateway_migrations_total{exact=\"false\"} 1"), std::string::npos);
  EXPECT_NE(Metrics().find("quire_gateway_migrations_total{exact=\"true\"} 0"), std::string::npos);
  const HttpAnswer status = Call(Request("GET", "/v1/status/tiny", "", backend_.key()));
  EXPECT_NE(status.body.find(R"("numerics_id":"other-numerics")"), std::string::npos) << status.body;
}

// The coordinator that is asked again knows nothing of the first placement and gives another one, which is
// not needed. It is then told where the request really runs.
TEST_F(GatewayFailoverTest, ProgressNamesTheGroupThatRunsTheRequest) {
  Notification running, heard;
  std::atomic<int> calls{0};
  std::atomic<uint64_t> named{0};
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    v1::AdmitReply placement = backend_.Placement();
    placement.mutable_placement()->set_group_epoch(++calls);
    write(placement);
    running.WaitForNotification();
    if (calls == 1) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting");
    write(backend_.Grant(256));
    return kOk;
  };
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    running.Notify();
    out.Text("o");
    heard.WaitForNotification();  // the gateway hears of the placement with its next Progress
    out.Text("k");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  backend_.progress = [&](const v1::RequestProgress& progress) {
    if (named.exchange(progress.group_epoch()) == 0) heard.Notify();
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(256);
    return result;
  };
  EXPECT_EQ(ChatStream().text, "ok");
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(named, 1u);
  const v1::RequestSettle settle = backend_.AwaitSettle();
  ASSERT_EQ(settle.made_by_size(), 1);
  EXPECT_EQ(settle.made_by(0).group_epoch(), 1u);
}

// All requests of a gateway share one session with a group: each goes on elsewhere when it breaks.
TEST_F(GatewayFailoverTest, ASessionThatBreaksIsOneFailureOfEachOfItsRequests) {
  constexpr int kStreams = 3;
  std::atomic<int> begun{0};
  Notification all_begun;
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    if (request.attempt() == 1) {
      out.Text("a");
      if (++begun == kStreams) all_begun.Notify();
      out.AwaitCancel();  // the session's end is one
      return kOk;
    }
    out.Text(request.choices(0).resumed_ids_size() == 1 ? "b" : "ab");  // the break may overtake a token
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  std::vector<std::thread> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.emplace_back([&] { EXPECT_EQ(ChatStream().text, "ab"); });
  }
  all_begun.WaitForNotification();
  backend_.BreakSessions();
  for (std::thread& client : clients) client.join();
  const std::vector<v1::ReadmitRequest> readmits = TakeReadmits();
  ASSERT_EQ(readmits.size(), size_t{kStreams});
  for (const v1::ReadmitRequest& readmit : readmits) EXPECT_EQ(readmit.failed_group_id(), "g");
}

// The connection's end wakes whoever writes to it before anybody else hears of it.
TEST_F(GatewayFailoverTest, AClientThatLeavesWhileItIsWrittenToIsGone) {
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text(std::string(1400, 'x'));  // more than a client that does not read lets out
    out.AwaitCancel();
    return kOk;
  };
  GatewayOptions options;
  options.limits.send_buffer_bytes = 1 << 12;
  StartGateway(options);
  http::TestClient client(gateway_->api_port());
  const std::string body =
      R"({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1450, "stream": true})";
  client.Send(Request("POST", "/v1/chat/completions", body, backend_.key()));
  client.ReadUntil("\"content\":\"x\"");
  client.Reset();
  EXPECT_EQ(backend_.AwaitSettle().reason(), v1::SETTLE_CLIENT_GONE);
}

}  // namespace
}  // namespace quire::gateway
