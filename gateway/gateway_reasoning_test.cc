// A model that reasons, through the whole gateway: what stands where, streamed and whole, what of it is
// counted, and what its prompt says.
#include "gateway/gateway_test_fixture.h"
#include "gateway/text/text_model.h"

namespace quire::gateway {
namespace {

constexpr TokenId kThinkStart = 258, kThinkEnd = 259;
constexpr char kThought[] = "\xE2\x82\xAC 1+1\n", kReply[] = "na\xC3\xAFve: 2";

class GatewayReasoningTest : public GatewayTest {
 protected:
  GatewayReasoningTest() : GatewayTest(testing::TinyReasoningBundle()) {}

  // The worker says these, then the end token; what it was asked is kept.
  void Say(std::vector<TokenId> ids) {
    backend_.generate = [this, ids](const v1::GenerateRequest& request, TokenWriter& out) {
      {
        MutexLock lock(&mutex_);
        asked_ = request;
      }
      out.Accept(3);
      const bool with_logprobs = request.sampling().logprobs();
      for (const TokenId id : ids) with_logprobs ? out.Token(id, -1, {}) : out.Token(id);
      with_logprobs ? out.Token(kTinyEos, -1, {}) : out.Token(kTinyEos);
      out.Finish(v1::FINISH_STOP);
      return kOk;
    };
  }
  static std::vector<TokenId> Ids(const std::string& thought, const std::string& reply) {
    std::vector<TokenId> ids = testing::TinyIds(thought);
    ids.push_back(kThinkEnd);
    for (const TokenId id : testing::TinyIds(reply)) ids.push_back(id);
    return ids;
  }
  // The tail of the prompt that the worker was asked, its tokens written as text.
  std::string PromptTail(size_t bytes) {
    MutexLock lock(&mutex_);
    const auto model = *TextModel::Create(testing::TinyReasoningBundle());
    std::string text;
    for (const TokenId id : asked_.prompt_ids()) text += model->tokenizer().BytesOf(id);
    return text.substr(text.size() - std::min(bytes, text.size()));
  }
  json Whole(const std::string& fields) const {
    const HttpAnswer answer = Chat(fields);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body);
  }
  // The stream of the same request says the same as the whole answer.
  void ExpectStreamed(const json& whole, const std::string& fields) const {
    const Stream stream = ChatStream(fields);
    const json& message = whole["choices"][0]["message"];
    EXPECT_EQ(stream.reasoning, message.value("reasoning_content", ""));
    EXPECT_EQ(stream.text, message["content"]);
    EXPECT_EQ(stream.finish_reason, whole["choices"][0]["finish_reason"]);
    EXPECT_EQ(stream.usage, whole["usage"]);
  }

  Mutex mutex_;
  v1::GenerateRequest asked_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(GatewayReasoningTest, ReasoningStandsApartAndIsPartOfWhatIsPaid) {
  const std::vector<TokenId> ids = Ids(kThought, std::string("\n\n") + kReply);
  Say(ids);
  const json whole = Whole("");
  EXPECT_EQ(whole["choices"][0]["message"],
            (json{{"role", "assistant"}, {"reasoning_content", kThought}, {"content", kReply}}));
  EXPECT_EQ(whole["usage"]["completion_tokens"], ids.size() + 1);
  EXPECT_EQ(whole["usage"]["completion_tokens_details"]["reasoning_tokens"], sizeof kThought)
      << "up to and with </think>";
  ExpectStreamed(whole, "");
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(0)), ids.size() + 1);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(1)), ids.size() + 1);
}

TEST_F(GatewayReasoningTest, UnseparatedItIsTheTextAsTheModelWroteIt) {
  Say(Ids(kThought, std::string("\n\n") + kReply));
  const std::string fields = "\"separate_reasoning\": false";
  const json whole = Whole(fields);
  EXPECT_EQ(whole["choices"][0]["message"],
            (json{{"role", "assistant"}, {"content", absl::StrCat(kThought, "</think>\n\n", kReply)}}));
  EXPECT_EQ(whole["usage"]["completion_tokens_details"]["reasoning_tokens"], sizeof kThought);
  ExpectStreamed(whole, fields);
}

TEST_F(GatewayReasoningTest, ExcludedItIsLeftOutAndPaidAllTheSame) {
  const std::vector<TokenId> ids = Ids(kThought, kReply);
  Say(ids);
  const std::string fields = "\"reasoning\": {\"exclude\": true}";
  const json whole = Whole(fields);
  EXPECT_EQ(whole["choices"][0]["message"], (json{{"role", "assistant"}, {"content", kReply}}));
  EXPECT_EQ(whole["usage"]["completion_tokens"], ids.size() + 1);
  EXPECT_EQ(whole["usage"]["completion_tokens_details"]["reasoning_tokens"], sizeof kThought);
  ExpectStreamed(whole, fields);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(0)), ids.size() + 1);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(1)), ids.size() + 1);
}

TEST_F(GatewayReasoningTest, AnAnswerThatNeverGetsToItsContentHasEmptyContent) {
  Say(testing::TinyIds(kThought));
  const json whole = Whole("");
  EXPECT_EQ(whole["choices"][0]["message"],
            (json{{"role", "assistant"}, {"reasoning_content", kThought}, {"content", ""}}));
  EXPECT_EQ(whole["usage"]["completion_tokens_details"]["reasoning_tokens"],
            whole["usage"]["completion_tokens"]);
  ExpectStreamed(whole, "");
}

// Wherever a text is cut into tokens, each of its bytes is one of them here: the tag at every place.
TEST_F(GatewayReasoningTest, StreamedIsWholeWhereverTheReasoningEnds) {
  const std::string text = absl::StrCat(kThought, "\n", kReply);
  for (size_t at = 0; at <= text.size(); ++at) {
    Say(Ids(text.substr(0, at), text.substr(at)));
    for (const char* fields : {"", "\"separate_reasoning\": false", "\"stop\": [\"1\", \"ve\"]"}) {
      ExpectStreamed(Whole(fields), fields);
    }
  }
}

TEST_F(GatewayReasoningTest, StopStringsAreOfTheContent) {
  Say(Ids("a STOP b", "c STOP d"));
  const json whole = Whole("\"stop\": \"STOP\"");
  EXPECT_EQ(whole["choices"][0]["message"]["reasoning_content"], "a STOP b");
  EXPECT_EQ(whole["choices"][0]["message"]["content"], "c ");
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "stop");
}

TEST_F(GatewayReasoningTest, LogprobsAreOfTheTextThatIsThere) {
  Say(Ids("ab", "\n\ncd"));
  const auto bytes = [](const json& whole) {
    std::string all;
    for (const json& entry : whole["choices"][0]["logprobs"]["content"]) {
      for (const int byte : entry["bytes"]) all += static_cast<char>(byte);
    }
    return all;
  };
  EXPECT_EQ(bytes(Whole("\"logprobs\": true")), "abcd");
  EXPECT_EQ(bytes(Whole("\"logprobs\": true, \"reasoning\": {\"exclude\": true}")), "cd");
  EXPECT_EQ(bytes(Whole("\"logprobs\": true, \"separate_reasoning\": false")), "ab</think>\n\ncd");
}

TEST_F(GatewayReasoningTest, WithoutReasoningItsEndIsInThePrompt) {
  for (const char* fields : {R"("reasoning_effort": "none")", R"("reasoning": {"enabled": false})",
                             R"("enable_thinking": false)"}) {
    Say(testing::TinyIds(kReply));
    const json whole = Whole(fields);
    EXPECT_EQ(whole["choices"][0]["message"], (json{{"role", "assistant"}, {"content", kReply}}));
    EXPECT_EQ(whole["usage"]["completion_tokens_details"]["reasoning_tokens"], 0);
    EXPECT_EQ(PromptTail(29), "assistant\n<think>\n\n</think>\n\n");
  }
}

TEST_F(GatewayReasoningTest, AnAnswerGoesOnWhereItWasCut) {
  const auto go_on = [this](const std::string& message) {
    const std::string body = absl::StrCat(
        R"({"model": "tiny", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", )",
        message, "}]}");
    const HttpAnswer answer = Call(Request("POST", "/v1/chat/completions", body, backend_.key()));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body)["choices"][0]["message"];
  };
  Say(testing::TinyIds(" two."));
  EXPECT_EQ(go_on(R"("content": "It is")"), (json{{"role", "assistant"}, {"content", " two."}}));
  EXPECT_EQ(PromptTail(24), "<think>\n\n</think>\n\nIt is");
  go_on(R"("content": "It is", "reasoning_content": "hm")");
  EXPECT_EQ(PromptTail(26), "<think>\nhm\n</think>\n\nIt is");
  Say(Ids("m.", " two."));
  EXPECT_EQ(go_on(R"("content": "", "reasoning_content": "h")"),
            (json{{"role", "assistant"}, {"reasoning_content", "m."}, {"content", " two."}}));
  EXPECT_EQ(PromptTail(9), "<think>\nh");
}

TEST_F(GatewayReasoningTest, ATagThatTheModelWritesOnceMoreIsNoText) {
  std::vector<TokenId> ids = Ids(std::string("\n") + kThought, kReply);
  ids.insert(ids.begin(), kThinkStart);
  Say(ids);
  const json whole = Whole("");
  EXPECT_EQ(whole["choices"][0]["message"]["reasoning_content"], kThought);
  EXPECT_EQ(whole["choices"][0]["message"]["content"], kReply);
  ExpectStreamed(whole, "");
}

TEST_F(GatewayReasoningTest, TheLoopGuardEndsWhatGoesInCirclesWhereItWasAskedFor) {
  std::string rounds;
  for (int i = 0; i < 400; ++i) rounds += "ab ";
  backend_.generate = [rounds](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text(rounds);
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  const std::string body =
      R"({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1200)";
  const auto ask = [&](const char* fields) {
    return Call(Request("POST", "/v1/chat/completions", absl::StrCat(body, fields, "}"), backend_.key()))
        .body;
  };
  const json free = json::parse(ask(""));
  EXPECT_EQ(free["usage"]["completion_tokens"], 1200);
  EXPECT_FALSE(free["choices"][0].contains("finish_details"));
  const json guarded = json::parse(ask(", \"loop_guard\": true"));
  EXPECT_EQ(guarded["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(guarded["choices"][0]["finish_details"], json::parse(R"({"type": "loop"})"));
  EXPECT_LT(guarded["usage"]["completion_tokens"], 600);
  const Stream stream = ParseStream(ask(", \"loop_guard\": true, \"stream\": true"));
  EXPECT_EQ(stream.reasoning, guarded["choices"][0]["message"]["reasoning_content"]);
  EXPECT_EQ(stream.finish_details, guarded["choices"][0]["finish_details"]);
  EXPECT_EQ(stream.usage, guarded["usage"]);
}

}  // namespace
}  // namespace quire::gateway
