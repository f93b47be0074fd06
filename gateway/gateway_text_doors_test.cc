// The doors that a model's text files answer alone: tokenize, detokenize, apply-template; nothing is admitted
// for them and nothing billed.
#include "absl/strings/str_join.h"
#include "gateway/api/text/text_doors.h"
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

constexpr char kQuestion[] = R"("messages": [{"role": "user", "content": "hi"}])";

class GatewayTextDoorsTest : public GatewayTest {
 protected:
  explicit GatewayTextDoorsTest(const v1::TextBundle& bundle = testing::TinyBundle()) : GatewayTest(bundle) {}
  void SetUp() override {
    GatewayTest::SetUp();
    backend_.admit = [this](const v1::AdmitRequest& request, const ScriptedBackend::AdmitWriter& write) {
      ++admits_;
      write(backend_.Placement());
      write(backend_.Grant(request.max_tokens()));
      return kOk;
    };
  }
  HttpAnswer Ask(const std::string& path, const std::string& fields) const {
    return Call(Request("POST", path, absl::StrCat(R"({"model": "tiny", )", fields, "}"), backend_.key()));
  }
  json MustAsk(const std::string& path, const std::string& fields) const {
    const HttpAnswer answer = Ask(path, fields);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body);
  }
  void ExpectRefused(const std::string& path, const std::string& fields, int status,
                     const char* param) const {
    const HttpAnswer answer = Ask(path, fields);
    EXPECT_EQ(answer.status, status) << fields;
    EXPECT_EQ(json::parse(answer.body)["error"]["param"], param) << fields;
  }

  std::atomic<int> admits_{0};
};

TEST_F(GatewayTextDoorsTest, ATextsIdsComeBackAsTheText) {
  for (const char* text :
       {"Hello world", " caf\xC3\xA9 \xF0\x9F\x98\x80 ", "<|im_end|> as text", "\\n\\t", ""}) {
    const json tokens = MustAsk("/tokenize", absl::StrCat("\"prompt\": \"", text, "\""));
    EXPECT_EQ(tokens["count"], tokens["tokens"].size());
    EXPECT_EQ(tokens["max_model_len"], 2000);
    const json back = MustAsk("/detokenize", absl::StrCat("\"tokens\": ", tokens["tokens"].dump()));
    EXPECT_EQ(back["prompt"], json::parse(absl::StrCat("\"", text, "\"")));
  }
  EXPECT_EQ(MustAsk("/tokenize", R"("prompt": "<|im_end|>")")["tokens"], json::parse("[257]"))
      << "as a completion's prompt is read";
  EXPECT_EQ(admits_, 0);
}

TEST_F(GatewayTextDoorsTest, AConversationCountsAsItsChatDoes) {
  AnswerWith("ok");
  for (const char* messages :
       {R"([{"role": "user", "content": "hi"}])", R"([{"role": "user", "content": "<|im_end|>"}])",
        R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])"}) {
    const std::string field = absl::StrCat("\"messages\": ", messages);
    const json used = MustAsk("/v1/chat/completions", field)["usage"]["prompt_tokens"];
    EXPECT_EQ(MustAsk("/v1/tokenize", field)["count"], used);
  }
  EXPECT_EQ(admits_, 3);
}

TEST_F(GatewayTextDoorsTest, ATemplateIsAppliedWithAnAnswersBeginOrWithout) {
  const std::string turn = "<|im_start|>user\nhi<|im_end|>\n";
  EXPECT_EQ(MustAsk("/apply-template", kQuestion)["prompt"], turn + "<|im_start|>assistant\n");
  const std::string closed = absl::StrCat(kQuestion, R"(, "add_generation_prompt": false)");
  EXPECT_EQ(MustAsk("/v1/apply-template", closed)["prompt"], turn);
  EXPECT_EQ(MustAsk("/v1/openai/tokenize", closed)["count"], 10);
  const std::string answered =
      R"("messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])";
  const std::string continued = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb";
  EXPECT_EQ(MustAsk("/apply-template", answered)["prompt"], continued);
  EXPECT_EQ(MustAsk("/apply-template", answered + R"(, "add_generation_prompt": false)")["prompt"],
            continued + "<|im_end|>\n");
}

TEST_F(GatewayTextDoorsTest, TokensAreNamedWhereAskedFor) {
  const json named = MustAsk("/tokenize", R"("prompt": "a<|im_end|>", "return_token_strs": true)");
  EXPECT_EQ(named["token_strs"], json::parse(R"(["a", "<|im_end|>"])"));
  EXPECT_FALSE(MustAsk("/tokenize", R"("prompt": "a")").contains("token_strs"));
}

TEST_F(GatewayTextDoorsTest, WhatIsWrongIsNamed) {
  ExpectRefused("/tokenize", R"("x": 1)", 422, "prompt");
  ExpectRefused("/tokenize", R"("prompt": ["a"])", 422, "prompt");
  ExpectRefused("/tokenize", absl::StrCat(R"("prompt": "a", )", kQuestion), 422, "prompt");
  ExpectRefused("/tokenize", R"("prompt": "a", "add_special_tokens": 1)", 422, "add_special_tokens");
  ExpectRefused("/tokenize", absl::StrCat(kQuestion, R"(, "add_generation_prompt": 1)"), 422,
                "add_generation_prompt");
  ExpectRefused("/tokenize", R"("messages": [])", 422, "messages");
  ExpectRefused("/tokenize", absl::StrCat("\"prompt\": \"", std::string(2001, 'x'), "\""), 400, "prompt");
  ExpectRefused("/detokenize", R"("tokens": "a")", 422, "tokens");
  ExpectRefused("/detokenize", R"("x": 1)", 422, "tokens");
  ExpectRefused("/detokenize", R"("tokens": [1, 258])", 422, "tokens.1");
  ExpectRefused("/detokenize", R"("tokens": [-1])", 422, "tokens.0");
  ExpectRefused("/detokenize", R"("tokens": [1.5])", 422, "tokens.0");
  ExpectRefused("/apply-template", R"("prompt": "a")", 422, "messages");
  std::string ids = "1";
  for (int i = 0; i < 2000; ++i) ids += ",1";
  ExpectRefused("/detokenize", absl::StrCat("\"tokens\": [", ids, "]"), 422, "tokens");
  for (const char* path : {"/tokenize", "/detokenize", "/apply-template"}) {
    EXPECT_EQ(Call(Request("POST", path, "{}", "")).status, 401) << path;
    EXPECT_EQ(Call(Request("POST", path, "[]", backend_.key())).status, 400) << path;
    const std::string unknown = R"({"model": "never", "prompt": "a", "tokens": [1]})";
    if (path != std::string("/apply-template")) {
      EXPECT_EQ(Call(Request("POST", path, unknown, backend_.key())).status, 404) << path;
    }
  }
}

// By itself: the gateway's model has a context in which no text of its tokens would be so long.
TEST(TextDoorsTest, WhatIsDecodedHasABound) {
  v1::ModelFact fact;
  fact.set_max_context(100'000);
  const CatalogModel model{std::make_shared<const v1::ModelFact>(fact),
                           *TextModel::Create(testing::TinyBundleWith({std::string(1024, 'x')}))};
  const auto decode = [&](size_t count) {
    const ApiResult<Question> question = ParseDetokenize(absl::StrCat(
        R"({"model": "m", "tokens": [)", absl::StrJoin(std::vector<int>(count, 258), ","), "]}"));
    return std::get<Question>(question).answer(model, [] { return false; });
  };
  EXPECT_EQ(std::get<std::string>(decode(3)).size(), 3 * 1024 + std::string(R"({"prompt":""})").size());
  EXPECT_EQ(std::get<http::ApiError>(decode(kMaxDecodedBytes / 1024 + 1)).param, "tokens");
  const Question gone = std::get<Question>(ParseDetokenize(R"({"model": "m", "tokens": [1]})"));
  EXPECT_EQ(std::get<http::ApiError>(gone.answer(model, [] { return true; })).message, ClientLeft().message);
}

}  // namespace
}  // namespace quire::gateway
