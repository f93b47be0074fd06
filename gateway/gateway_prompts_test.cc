// Several prompts of one request: admitted, metered and settled each by itself, and answered, refused or
// ended together.
#include <set>

#include "gateway/gateway_completions_test_fixture.h"

namespace quire::gateway {
namespace {

TEST_F(GatewayCompletionsTest, SeveralPromptsAreOneAnswerAndSoManyBills) {
  SayPrompts();
  size_t settled = 0;
  for (const char* fields : {R"("n": 2)", R"("n": 2, "stream": true)"}) {
    const Completed all = MustComplete(R"(["a", "b", "c"])", fields);
    EXPECT_EQ(all.texts, (Texts{{0, "aa0"}, {1, "aa1"}, {2, "bb0"}, {3, "bb1"}, {4, "cc0"}, {5, "cc1"}}));
    EXPECT_EQ(all.finishes.size(), 6u);
    EXPECT_EQ(all.usages, 1);
    EXPECT_EQ(all.usage["prompt_tokens"], 3);
    EXPECT_EQ(all.usage["completion_tokens"], 24);
    EXPECT_EQ(all.usage["prompt_tokens_details"]["cached_tokens"], 3);
    const auto settles = AwaitSettles(settled, 3);
    settled += 3;
    ASSERT_EQ(settles.size(), 3u) << "each has an id of its own";
    std::set<std::string> families;
    for (const auto& [id, settle] : settles) {
      families.insert(id.substr(0, 15));
      EXPECT_EQ(settle.reason(), v1::SETTLE_COMPLETED);
      EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 8u);
    }
    EXPECT_EQ(families.size(), 1u);
  }
}

TEST_F(GatewayCompletionsTest, TheCostOfAllIsTheSumOfTheirs) {
  SayPrompts();
  const double one = MustComplete(R"("a")").usage["estimated_cost"];
  EXPECT_NEAR(MustComplete(R"(["a", "b", "c"])").usage["estimated_cost"].get<double>(), 3 * one, 1e-15);
}

// ---- refused as one ----

// The others are granted, and have said all that they have to say, before the last one is refused.
TEST_F(GatewayCompletionsTest, OneThatIsRefusedRefusesAllBeforeAnythingIsSent) {
  for (const char* fields : {"", "\"stream\": true"}) {
    const size_t settled = backend_.settled();
    Notification said;
    std::atomic<int> admits{0}, ended{0};
    backend_.admit = [&](const v1::AdmitRequest& request, const ScriptedBackend::AdmitWriter& write) {
      if (++admits < 3) {
        write(backend_.Placement());
        write(backend_.Grant(request.max_tokens()));
      } else {
        said.WaitForNotification();
        write(ScriptedBackend::Refusal(v1::REFUSAL_BUDGET));
      }
      return kOk;
    };
    std::atomic<int> saying{0};
    backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept();
      out.Text("abcd");
      if (++saying == 2) said.Notify();
      out.AwaitCancel();
      ++ended;
      return kOk;
    };
    const HttpAnswer answer = Complete(R"(["a", "b", "c"])", fields);
    EXPECT_EQ(answer.status, 402) << answer.body;
    EXPECT_EQ(json::parse(answer.body)["error"]["code"], "insufficient_quota");
    for (const auto& [id, settle] : AwaitSettles(settled, 2)) {
      EXPECT_EQ(settle.reason(), v1::SETTLE_ABANDONED);
      EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 0u);
    }
    AwaitTrue("the end of those that ran", [&] { return ended == 2; });
  }
}

// It would wait for what its siblings hold, and they for it.
TEST_F(GatewayCompletionsTest, OneThatFindsNoRoomBesideItsSiblingsIsNotWaitedFor) {
  for (const char* fields : {"", "\"stream\": true"}) {
    const size_t settled = backend_.settled();
    std::atomic<int> admits{0}, running{0}, may_wait{0};
    backend_.admit = [&](const v1::AdmitRequest& request, const ScriptedBackend::AdmitWriter& write) {
      if (request.max_wait_ms() > 0) ++may_wait;
      if (++admits < 3) {
        write(backend_.Placement());
        write(backend_.Grant(request.max_tokens()));
      } else {
        write(ScriptedBackend::Refusal(v1::REFUSAL_NO_CAPACITY));
      }
      return kOk;
    };
    backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
      ++running;
      out.Accept();
      out.Text(PromptOf(request));
      out.AwaitCancel();
      --running;
      return kOk;
    };
    const HttpAnswer answer = Complete(R"(["a", "b", "c"])", fields);
    EXPECT_EQ(answer.status, 503) << answer.body;
    const json error = json::parse(answer.body)["error"];
    EXPECT_EQ(error["code"], "no_capacity");
    EXPECT_NE(error["message"].get<std::string>().find("give fewer prompts or retry"), std::string::npos)
        << error;
    EXPECT_NE(answer.head.find("retry-after"), std::string::npos) << answer.head;
    EXPECT_EQ(may_wait, 1) << "the first, which holds nothing yet";
    for (const auto& [id, settle] : AwaitSettles(settled, 2)) {
      EXPECT_EQ(settle.reason(), v1::SETTLE_ABANDONED);
      EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 0u);
    }
    AwaitTrue("the end of those that ran", [&] { return running == 0; });
  }
}

TEST_F(GatewayCompletionsTest, NobodyElseIsAskedForWhereTheFirstFindsNoRoom) {
  std::atomic<int> admits{0};
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    ++admits;
    write(ScriptedBackend::Refusal(v1::REFUSAL_NO_CAPACITY));
    return kOk;
  };
  const HttpAnswer answer = Complete(R"(["a", "b", "c"])");
  EXPECT_EQ(answer.status, 503) << answer.body;
  EXPECT_EQ(answer.body.find("fewer prompts"), std::string::npos) << answer.body;
  EXPECT_EQ(admits, 1);
  EXPECT_EQ(backend_.settled(), 0u);
}

TEST_F(GatewayCompletionsTest, WhatIsWrongWithAPromptIsSaidAtItsPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"(["a", ""])", "prompt.1"}, {R"([[1], [1, 300]])", "prompt.1.1"}, {R"([[1], []])", "prompt.1"},
      {R"("")", "prompt"},          {R"([1, 300])", "prompt.1"},          {R"(["a", [1, -1]])", "prompt.1.1"},
      {R"([])", "prompt"},          {R"([[1, 300]])", "prompt.0.1"},      {R"([""])", "prompt.0"},
  };
  for (const auto& [prompt, param] : cases) {
    const HttpAnswer answer = Complete(prompt);
    EXPECT_EQ(answer.status, 422) << prompt;
    EXPECT_EQ(json::parse(answer.body)["error"]["param"], param);
  }
  const std::string longest(1990, 'x');
  const HttpAnswer answer = Complete(absl::StrCat(R"(["a", ")", longest, R"("])"));
  EXPECT_EQ(answer.status, 400);
  const json error = json::parse(answer.body)["error"];
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["param"], "prompt.1");
  EXPECT_EQ(error["message"].get<std::string>().find("messages"), std::string::npos);
  EXPECT_EQ(backend_.settled(), 0u);
}

// ---- ended as one ----

TEST_F(GatewayCompletionsTest, OneThatFailsEndsAllWithOneError) {
  backend_.readmit = [](const v1::ReadmitRequest&) {
    v1::ReadmitReply reply;
    reply.mutable_refusal()->set_reason(v1::REFUSAL_CLOSED);
    return reply;
  };
  Notification said;
  std::atomic<int> saying{0}, cancelled{0};
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    out.Text(PromptOf(request));
    if (++saying == 3) said.Notify();
    said.WaitForNotification();
    if (PromptOf(request) == "b") return grpc::Status(grpc::StatusCode::UNAVAILABLE, "rank 1 is gone");
    out.AwaitCancel();
    ++cancelled;
    return kOk;
  };
  const Completed all = OfBody(Complete(R"(["a", "b", "c"])", "\"stream\": true").body);
  EXPECT_EQ(all.errors, 1);
  EXPECT_EQ(all.dones, 1);
  EXPECT_EQ(all.error["code"], "request_closed");
  EXPECT_TRUE(all.finishes.empty());
  size_t delivered = 0, shown = 0;
  for (const auto& [id, settle] : AwaitSettles(0, 3)) {
    EXPECT_NE(settle.reason(), v1::SETTLE_CLIENT_GONE);
    delivered += ScriptedBackend::DeliveredOf(settle);
  }
  for (const auto& [index, text] : all.texts) shown += text.size();
  EXPECT_EQ(delivered, shown) << "billed is what was delivered";
  AwaitTrue("the others' end", [&] { return cancelled == 2; });
}

TEST_F(GatewayCompletionsTest, OneWhoseGroupDiesGoesOnElsewhere) {
  backend_.readmit = [this](const v1::ReadmitRequest&) { return backend_.Elsewhere(2); };
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    const std::string text = PromptOf(request) + "-text";
    out.Accept();
    const auto resumed = static_cast<size_t>(request.choices(0).resumed_ids_size());
    if (request.attempt() == 1 && PromptOf(request) == "b") {
      out.Text(text.substr(0, 3));
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "rank 1 is gone");
    }
    out.Text(text.substr(resumed));
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  for (const char* fields : {"", "\"stream\": true"}) {
    const Completed all = MustComplete(R"(["a", "b", "c"])", fields);
    EXPECT_EQ(all.errors, 0);
    EXPECT_EQ(all.texts, (Texts{{0, "a-text"}, {1, "b-text"}, {2, "c-text"}}));
    EXPECT_EQ(all.usage["completion_tokens"], 18);
  }
}

TEST_F(GatewayCompletionsTest, ACapThatIsReachedCutsWhatItCutsAndNoMore) {
  backend_.admit = [this](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
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
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    out.Text(PromptOf(request) == "a" ? "longer" : "b");
    out.Token(kTinyEos);
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  const Completed all = MustComplete(R"(["a", "b"])", "\"stream\": true");
  EXPECT_EQ(all.texts, (Texts{{0, "long"}, {1, "b"}}));
  EXPECT_EQ(all.finishes, (Texts{{0, "length"}, {1, "stop"}}));
  EXPECT_EQ(all.usage["completion_tokens"], 6);
}

TEST_F(GatewayCompletionsTest, AClientThatLeavesCancelsAll) {
  std::atomic<int> cancelled{0};
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    out.Text(PromptOf(request));
    out.AwaitCancel();
    ++cancelled;
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(CompletionRequest(R"(["aX", "bX", "cX"])", "\"stream\": true"));
  EXPECT_NE(client.ReadUntil("\"X\"").find("\"X\""), std::string::npos);
  client.Reset();
  for (const auto& [id, settle] : AwaitSettles(0, 3)) {
    EXPECT_TRUE(settle.reason() == v1::SETTLE_CLIENT_GONE || settle.reason() == v1::SETTLE_ABANDONED);
    EXPECT_LE(ScriptedBackend::DeliveredOf(settle), 2u);
  }
  AwaitTrue("the end of all", [&] { return cancelled == 3; });
}

class GatewayAbandonedPromptsTest : public GatewayCompletionsTest {
 protected:
  void SetUp() override {
    GatewayOptions options;
    options.abandonments = {.burst = 2, .every_us = int64_t{3600} * 1'000'000};
    StartGateway(options);
  }
};

TEST_F(GatewayAbandonedPromptsTest, EachThatDeliveredNothingCountsThoughAnotherDid) {
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    if (PromptOf(request) == "a") out.Text("aX");
    out.AwaitCancel();
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(CompletionRequest(R"(["a", "b", "c"])", "\"stream\": true"));
  EXPECT_NE(client.ReadUntil("X\"").find("X\""), std::string::npos);
  client.Reset();
  size_t abandoned = 0;
  for (const auto& [id, settle] : AwaitSettles(0, 3)) abandoned += settle.reason() == v1::SETTLE_ABANDONED;
  EXPECT_EQ(abandoned, 2u);
  SayPrompts();
  const HttpAnswer refused = Complete(R"("a")");
  EXPECT_EQ(refused.status, 429) << refused.body;
}

TEST_F(GatewayCompletionsTest, AStopStringEndsOneOfThem) {
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    out.Text(PromptOf(request) + "END of " + PromptOf(request));
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  const Completed all = MustComplete(R"(["a", "b"])", R"("stop": ["of b"])");
  EXPECT_EQ(all.texts, (Texts{{0, "aEND of a"}, {1, "bEND "}}));
  EXPECT_EQ(all.finishes, (Texts{{0, "length"}, {1, "stop"}}));
}

}  // namespace
}  // namespace quire::gateway
