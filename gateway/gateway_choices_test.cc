// Several choices of one request, and log-probabilities: streamed and whole, cut and resumed, and what is
// billed of them.
#include <cmath>
#include <map>

#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

// What the events of a stream, or a whole body, say of each choice.
struct Choices {
  std::map<int, std::string> texts, finishes;
  std::map<int, json> logprobs;  // all entries of a choice
  json usage;
  int usages = 0;
};

void Add(const json& choice, const json& message, Choices& all) {
  const int index = choice["index"];
  if (message.contains("content")) all.texts[index] += message["content"];
  if (choice.contains("logprobs")) {
    for (const json& entry : choice["logprobs"]["content"]) all.logprobs[index].push_back(entry);
  }
  if (!choice["finish_reason"].is_null()) {
    EXPECT_FALSE(all.finishes.contains(index)) << "a choice ends once";
    all.finishes[index] = choice["finish_reason"];
  }
}

Choices OfStream(const std::string& body) {
  Choices all;
  for (size_t start = 0, end; (end = body.find("\n\n", start)) != std::string::npos; start = end + 2) {
    const std::string line = body.substr(start, end - start);
    if (line.rfind("data: {", 0) != 0) continue;
    const json event = json::parse(line.substr(6));
    EXPECT_FALSE(event.contains("error")) << event;
    if (event.contains("usage") && !event["usage"].is_null()) {
      all.usage = event["usage"];
      ++all.usages;
    }
    for (const json& choice : event["choices"]) Add(choice, choice["delta"], all);
  }
  return all;
}

Choices OfWhole(const std::string& body) {
  Choices all;
  const json answer = json::parse(body);
  for (const json& choice : answer["choices"]) Add(choice, choice["message"], all);
  all.usage = answer["usage"];
  all.usages = 1;
  return all;
}

class GatewayChoicesTest : public GatewayTest {
 protected:
  // Three choices, their tokens in turn.
  static grpc::Status SayThree(const v1::GenerateRequest& request, TokenWriter& out) {
    EXPECT_EQ(request.choices_size(), 3);
    out.Accept(3);
    for (int round = 0; round < 3; ++round) {
      for (uint32_t choice = 0; choice < 3; ++choice) {
        out.Choose(choice);
        out.Text(std::string(1, static_cast<char>('a' + choice)));
      }
    }
    for (uint32_t choice : {2u, 0u, 1u}) {
      out.Choose(choice);
      if (choice == 2) out.Token(kTinyEos);
      out.Finish(choice == 2 ? v1::FINISH_STOP : v1::FINISH_LENGTH);
    }
    return kOk;
  }
  static uint64_t DeliveredOf(const v1::RequestSettle& settle, uint32_t choice) {
    for (const v1::ChoiceTokens& delivered : settle.delivered()) {
      if (delivered.choice() == choice) return delivered.tokens();
    }
    return 0;
  }
};

TEST_F(GatewayChoicesTest, StreamedOrWholeEachChoiceIsItselfAndAllAreBilled) {
  backend_.generate = SayThree;
  for (const bool stream : {true, false}) {
    const HttpAnswer answer = Chat(stream ? R"("n": 3, "stream": true)" : R"("n": 3)");
    ASSERT_EQ(answer.status, 200) << answer.body;
    const Choices all = stream ? OfStream(answer.body) : OfWhole(answer.body);
    EXPECT_EQ(all.texts, (std::map<int, std::string>{{0, "aaa"}, {1, "bbb"}, {2, "ccc"}}));
    EXPECT_EQ(all.finishes, (std::map<int, std::string>{{0, "length"}, {1, "length"}, {2, "stop"}}));
    EXPECT_EQ(all.usages, 1);
    EXPECT_EQ(all.usage["completion_tokens"], 10);
    EXPECT_EQ(all.usage["prompt_tokens"], 21) << "the prompt is read once";
    const v1::RequestSettle settle = backend_.AwaitSettle(stream ? 0 : 1);
    EXPECT_EQ(settle.reason(), v1::SETTLE_COMPLETED);
    EXPECT_EQ(DeliveredOf(settle, 0), 3u);
    EXPECT_EQ(DeliveredOf(settle, 1), 3u);
    EXPECT_EQ(DeliveredOf(settle, 2), 4u);
  }
}

// One choice has ended and another has two tokens when the group dies: what is left goes on elsewhere.
TEST_F(GatewayChoicesTest, ACutRequestGoesOnWithWhatEachChoiceHas) {
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    if (request.attempt() == 1) {
      out.Text("ab");
      out.Choose(1);
      out.Text("x");
      out.Finish(v1::FINISH_LENGTH);
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "it died");
    }
    EXPECT_EQ(request.choices(0).resumed_ids_size(), 2);
    EXPECT_FALSE(request.choices(0).done());
    EXPECT_TRUE(request.choices(1).done());
    EXPECT_FALSE(request.choices(2).done());
    out.Choose(1);
    out.Finish(v1::FINISH_UNSPECIFIED);  // as a group says of one that was done
    out.Choose(2);
    out.Text("yz");
    out.Finish(v1::FINISH_STOP);
    out.Choose(0);
    out.Text("c");
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  uint32_t readmitted_choices = 0;
  backend_.readmit = [&](const v1::ReadmitRequest& request) {
    readmitted_choices = request.choices();
    return backend_.Elsewhere(2);
  };
  const HttpAnswer answer = Chat(R"("n": 3, "stream": true)");
  const Choices all = OfStream(answer.body);
  EXPECT_EQ(all.texts, (std::map<int, std::string>{{0, "abc"}, {1, "x"}, {2, "yz"}}));
  EXPECT_EQ(all.finishes, (std::map<int, std::string>{{0, "stop"}, {1, "length"}, {2, "stop"}}));
  EXPECT_EQ(all.usage["completion_tokens"], 6);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 6u);
  EXPECT_EQ(readmitted_choices, 3u);
}

// The worker doesn't know stop strings: it is told to leave that choice, and what it said of it meanwhile is
// nobody's, and not billed.
TEST_F(GatewayChoicesTest, AStopStringEndsOneChoiceAndTheOthersGoOn) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("aENDaaaa");
    out.Choose(1);
    out.Text("bbb");
    out.Choose(0);
    out.AwaitChoiceCancel();
    out.Finish(v1::FINISH_UNSPECIFIED);
    out.Choose(1);
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  const HttpAnswer answer = Chat(R"("n": 2, "stop": "END")");
  const Choices all = OfWhole(answer.body);
  EXPECT_EQ(all.texts, (std::map<int, std::string>{{0, "a"}, {1, "bbb"}}));
  EXPECT_EQ(all.finishes, (std::map<int, std::string>{{0, "stop"}, {1, "stop"}}));
  EXPECT_EQ(all.usage["completion_tokens"], 7);
}

TEST_F(GatewayChoicesTest, WhatAWorkerSaysOfChoicesThatNobodyAskedForFailsItsAttempt) {
  std::atomic<int> attempts{0};
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    if (++attempts == 1) {
      v1::GenerateRequest more = request;
      more.add_choices()->set_index(1);
      TokenWriter wrong = out.WithChoicesOf(more);
      wrong.Choose(1);
      wrong.Text("x");
      out.AwaitCancel();
      return kOk;
    }
    out.Text("ok");
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  backend_.readmit = [&](const v1::ReadmitRequest&) { return backend_.Elsewhere(2); };
  EXPECT_EQ(OfWhole(Chat("").body).texts, (std::map<int, std::string>{{0, "ok"}}));
  EXPECT_EQ(attempts, 2);
}

// ---- logprobs ----

TEST_F(GatewayChoicesTest, LogprobsComeWithTheTextTheyBelongTo) {
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    EXPECT_TRUE(request.sampling().logprobs());
    EXPECT_EQ(request.sampling().top_logprobs(), 2u);
    out.Accept();
    float logprob = -0.5f;
    for (const TokenId id : testing::TinyIds("h\xC3\xA9!"))
      out.Token(id, logprob *= 2, {{5, -0.25f}, {6, -4}});
    out.Token(kTinyEos, -1, {{5, -0.25f}, {6, -4}});
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  const Choices whole = OfWhole(Chat(R"("logprobs": true, "top_logprobs": 2)").body);
  const Choices stream = OfStream(Chat(R"("logprobs": true, "top_logprobs": 2, "stream": true)").body);
  EXPECT_EQ(whole.logprobs, stream.logprobs);
  const json& entries = whole.logprobs.at(0);
  std::string bytes;
  for (const json& entry : entries) {
    for (const int byte : entry["bytes"]) bytes += static_cast<char>(byte);
    ASSERT_EQ(entry["top_logprobs"].size(), 2u);
  }
  EXPECT_EQ(bytes, "h\xC3\xA9!") << "the tokens' bytes are the content's";
  EXPECT_EQ(entries[0]["logprob"], -1);
  EXPECT_EQ(entries[3]["logprob"], -8);
}

TEST_F(GatewayChoicesTest, NoInfinityComesOut) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Token(testing::TinyIds("y")[0], -INFINITY, {{5, -INFINITY}});
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  const Choices whole = OfWhole(Chat(R"("logprobs": true, "top_logprobs": 1)").body);
  EXPECT_EQ(whole.logprobs.at(0)[0]["logprob"], -9999);
  EXPECT_EQ(whole.logprobs.at(0)[0]["top_logprobs"][0]["logprob"], -9999);
}

// Left out, or no logarithms of probabilities, its own or the likeliest's.
TEST_F(GatewayChoicesTest, AWorkersWrongLogprobsFailItsAttempt) {
  const TokenId x = testing::TinyIds("x")[0], y = testing::TinyIds("y")[0];
  const std::vector<std::function<void(TokenWriter&)>> wrong = {
      [&](TokenWriter& out) { out.Token(x); },
      [&](TokenWriter& out) { out.Token(x, -1, {}); },
      [&](TokenWriter& out) {
        out.Token(x, INFINITY, {{5, -1.0f}});
      },
      [&](TokenWriter& out) {
        out.Token(x, NAN, {{5, -1.0f}});
      },
      [&](TokenWriter& out) {
        out.Token(x, 0.5f, {{5, -1.0f}});
      },
      [&](TokenWriter& out) {
        out.Token(x, -1, {{5, INFINITY}});
      },
      [&](TokenWriter& out) {
        out.Token(x, -1, {{5, NAN}});
      }};
  std::atomic<uint32_t> epoch{1};
  backend_.readmit = [&](const v1::ReadmitRequest&) { return backend_.Elsewhere(++epoch); };
  for (const auto& say : wrong) {
    std::atomic<int> attempts{0};
    epoch = 1;
    backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept();
      if (++attempts == 1) {
        say(out);
        out.AwaitCancel();
        return kOk;
      }
      out.Token(y, -1, {{y, -1.0f}});
      out.Finish(v1::FINISH_LENGTH);
      return kOk;
    };
    EXPECT_EQ(OfWhole(Chat(R"("logprobs": true, "top_logprobs": 1)").body).texts,
              (std::map<int, std::string>{{0, "y"}}));
    EXPECT_EQ(attempts, 2);
  }
}

}  // namespace
}  // namespace quire::gateway
