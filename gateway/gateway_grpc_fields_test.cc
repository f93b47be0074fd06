// What quire.v1.Chat has beside text: reasoning, tools and forms of answers, as the HTTP API has them.
#include "gateway/api/grpc/chat_messages.h"
#include "gateway/gateway_grpc_test_fixture.h"

namespace quire::gateway {
namespace {

// Of one choice of a stream.
struct Streamed {
  std::string content, reasoning, finish, detail;
  std::vector<v1::ChatToolCall> calls;
  v1::ChatUsage usage;
};

class GatewayGrpcFieldsTest : public GatewayGrpcTest {
 protected:
  explicit GatewayGrpcFieldsTest(const v1::TextBundle& bundle = testing::TinyToolBundle())
      : GatewayGrpcTest(bundle) {}

  void Say(const std::vector<TokenId>& ids) {
    backend_.generate = [ids](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept();
      for (const TokenId id : ids) out.Token(id);
      out.Token(kTinyEos);
      out.Finish(v1::FINISH_STOP);
      return kOk;
    };
  }
  v1::ChatAnswer Whole(const v1::ChatRequest& request) const {
    v1::ChatAnswer answer;
    const grpc::Status status = Ask(request, &answer);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return answer;
  }
  Streamed Stream(const v1::ChatRequest& request) const {
    Streamed all;
    auto context = Context(backend_.key());
    auto reader = stub_->ChatStream(context.get(), request);
    for (v1::ChatChunk chunk; reader->Read(&chunk);) {
      all.content += chunk.content();
      all.reasoning += chunk.reasoning_content();
      all.finish += chunk.finish_reason();
      all.detail += chunk.finish_detail();
      if (chunk.has_usage()) all.usage = chunk.usage();
      if (chunk.has_tool_call()) AddPart(chunk.tool_call(), all.calls);
    }
    EXPECT_TRUE(reader->Finish().ok());
    return all;
  }
  static void AddPart(const v1::ChatToolCallPart& part, std::vector<v1::ChatToolCall>& calls) {
    EXPECT_EQ(part.index() + (part.name().empty() ? 1 : 0), calls.size());
    EXPECT_EQ(part.name().empty(), part.id().empty());
    if (!part.name().empty()) {
      calls.emplace_back().set_id(part.id());
      calls.back().set_name(part.name());
    }
    calls.back().set_arguments_json(calls.back().arguments_json() + part.arguments_json());
  }
  // The stream says what the whole answer says; both count alike.
  void ExpectStreamed(const v1::ChatRequest& request, const v1::ChatAnswer& whole) const {
    const Streamed streamed = Stream(request);
    const v1::ChatChoice& choice = whole.choices(0);
    EXPECT_EQ(streamed.content, choice.content());
    EXPECT_EQ(streamed.reasoning, choice.reasoning_content());
    EXPECT_EQ(streamed.finish, choice.finish_reason());
    EXPECT_EQ(streamed.detail, choice.finish_detail());
    EXPECT_EQ(streamed.usage.SerializeAsString(), whole.usage().SerializeAsString());
    ASSERT_EQ(static_cast<int>(streamed.calls.size()), choice.tool_calls_size());
    for (int i = 0; i < choice.tool_calls_size(); ++i) {
      EXPECT_EQ(streamed.calls[i].name(), choice.tool_calls(i).name());
      EXPECT_EQ(streamed.calls[i].arguments_json(), choice.tool_calls(i).arguments_json());
    }
  }
  static v1::ChatRequest WithTool() {
    v1::ChatRequest request = Hello();
    request.set_max_tokens(200);
    v1::ChatTool& tool = *request.add_tools();
    tool.set_name("f");
    tool.set_parameters_json(R"({"type": "object", "z": 1, "a": 2})");
    return request;
  }
};

TEST_F(GatewayGrpcFieldsTest, CallsAreSaidStreamedAndWhole) {
  std::vector<TokenId> ids = testing::TinyIds("Hm.\n");
  for (int i = 0; i < 2; ++i) {
    ids.push_back(258);
    for (const TokenId id : testing::TinyIds("{\"name\": \"f\", \"arguments\": {\"a\": \"\xC3\xA9\"}}"))
      ids.push_back(id);
    ids.push_back(259);
  }
  Say(ids);
  const v1::ChatAnswer whole = Whole(WithTool());
  const v1::ChatChoice& choice = whole.choices(0);
  EXPECT_EQ(choice.content(), "Hm.");
  EXPECT_EQ(choice.finish_reason(), "tool_calls");
  ASSERT_EQ(choice.tool_calls_size(), 2);
  EXPECT_EQ(choice.tool_calls(1).name(), "f");
  EXPECT_EQ(choice.tool_calls(1).arguments_json(), "{\"a\": \"\xC3\xA9\"}");
  EXPECT_TRUE(choice.tool_calls(0).id().starts_with("call_"));
  EXPECT_NE(choice.tool_calls(0).id(), choice.tool_calls(1).id());
  EXPECT_EQ(whole.usage().completion_tokens(), ids.size() + 1);
  ExpectStreamed(WithTool(), whole);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(i)), ids.size() + 1);
  }
}

TEST_F(GatewayGrpcFieldsTest, AConversationWithToolsIsTheHttpApis) {
  std::vector<v1::GenerateRequest> seen;
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    seen.push_back(request);
    out.Accept();
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  v1::ChatRequest request = WithTool();
  request.mutable_tools(0)->set_description("d");
  request.mutable_tools(0)->set_strict(false);
  request.mutable_tool_choice()->set_mode("auto");
  request.set_parallel_tool_calls(false);
  request.set_seed(5);
  v1::ChatMessage& call = *request.add_messages();
  call.set_role("assistant");
  v1::ChatToolCall& made = *call.add_tool_calls();
  made.set_id("a");
  made.set_name("f");
  made.set_arguments_json(R"({"z":1,"a":2})");
  v1::ChatMessage& result = *request.add_messages();
  result.set_role("tool");
  result.set_tool_call_id("a");
  result.add_parts("4");
  result.add_parts("2");
  Whole(request);
  const std::string body = R"({"model": "tiny", "max_tokens": 200, "seed": 5, "messages": [{"role": "user",
      "content": "hi"}, {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments":
      {"z": 1, "a": 2}}}]}, {"role": "tool", "tool_call_id": "a", "content": "42"}], "tools": [{"type": "function",
      "function": {"name": "f", "description": "d", "parameters": {"type": "object", "z": 1, "a": 2}, "strict": false}}],
      "tool_choice": "auto", "parallel_tool_calls": false})";
  ASSERT_EQ(Call(Request("POST", "/v1/chat/completions", body, backend_.key())).status, 200);
  ASSERT_EQ(seen.size(), 2u);
  for (v1::GenerateRequest& one : seen) one.clear_request_id();
  EXPECT_EQ(seen[0].SerializeAsString(), seen[1].SerializeAsString());
}

TEST_F(GatewayGrpcFieldsTest, WhatIsNoJsonIsRefusedWithItsField) {
  const auto param = [&](const v1::ChatRequest& request) {
    const grpc::Status status = Refused(request);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return InfoOf(status).metadata().at("param");
  };
  for (const char* text : {"", "{", "{} x", "{\"a\": 1, \"a\": 1}"}) {
    v1::ChatRequest tools = WithTool();
    tools.add_tools()->set_parameters_json(text);
    EXPECT_EQ(param(tools), "tools.1.parameters_json");
    v1::ChatRequest format = Hello();
    format.mutable_response_format()->set_type("json_schema");
    format.mutable_response_format()->mutable_json_schema()->set_schema_json(text);
    EXPECT_EQ(param(format), "response_format.json_schema.schema_json");
  }
  v1::ChatRequest list = WithTool();
  list.mutable_tools(0)->set_parameters_json("[]");
  EXPECT_EQ(param(list), "tools.0.function.parameters");
  v1::ChatRequest named = WithTool();
  named.mutable_tool_choice()->set_function("other");
  EXPECT_EQ(param(named), "tool_choice.function.name");
  v1::ChatRequest many = WithTool();
  for (int i = 0; i < 20'000; ++i) many.add_tools();
  EXPECT_EQ(param(many), "tools");
  v1::ChatRequest call = WithTool();
  v1::ChatMessage& message = *call.add_messages();
  message.set_role("assistant");
  message.add_tool_calls()->set_id("a");
  message.mutable_tool_calls(0)->set_name("f");
  message.mutable_tool_calls(0)->set_arguments_json("{");
  *call.add_messages() = call.messages(0);
  EXPECT_EQ(param(call), "messages.1.tool_calls.0.function.arguments");
}

// Fields of the body whose names HTTP has.
TEST(GrpcBodyTest, SaysEveryFormAsHttpDoes) {
  v1::ChatRequest request;
  request.set_reasoning_max_tokens(7);
  request.set_exclude_reasoning(true);
  request.set_separate_reasoning(false);
  request.set_loop_guard(true);
  request.mutable_tool_choice()->set_function("f");
  v1::ChatResponseFormat& format = *request.mutable_response_format();
  format.set_type("json_schema");
  format.set_regex("a+");
  format.set_grammar("root ::= \"a\"");
  format.mutable_json_schema()->set_name("n");
  format.mutable_json_schema()->set_schema_json(R"({"z": 1, "a": [2]})");
  format.mutable_json_schema()->set_strict(true);
  const auto body = std::get<nlohmann::ordered_json>(BodyOf(request));
  EXPECT_EQ(body["reasoning"].dump(), R"({"max_tokens":7,"exclude":true})");
  EXPECT_EQ(body["separate_reasoning"], false);
  EXPECT_EQ(body["loop_guard"], true);
  EXPECT_EQ(body["tool_choice"].dump(), R"({"type":"function","function":{"name":"f"}})");
  EXPECT_EQ(body["response_format"].dump(),
            R"({"type":"json_schema","regex":"a+","grammar":"root ::= \"a\"",)"
            R"("json_schema":{"name":"n","schema":{"z":1,"a":[2]},"strict":true}})");
}

class GatewayGrpcReasoningTest : public GatewayGrpcFieldsTest {
 protected:
  GatewayGrpcReasoningTest() : GatewayGrpcFieldsTest(testing::TinyReasoningBundle()) {
    std::vector<TokenId> ids = testing::TinyIds("hm");
    ids.push_back(259);  // </think>
    for (const TokenId id : testing::TinyIds("\nyes")) ids.push_back(id);
    Say(ids);
  }
};

TEST_F(GatewayGrpcReasoningTest, ReasoningStandsApartAsOverHttp) {
  const v1::ChatAnswer apart = Whole(Hello());
  EXPECT_EQ(apart.choices(0).reasoning_content(), "hm");
  EXPECT_EQ(apart.choices(0).content(), "yes");
  EXPECT_EQ(apart.usage().reasoning_tokens(), 3u);
  EXPECT_EQ(apart.usage().completion_tokens(), 8u);
  ExpectStreamed(Hello(), apart);
  v1::ChatRequest request = Hello();
  request.set_separate_reasoning(false);
  const v1::ChatAnswer raw = Whole(request);
  EXPECT_EQ(raw.choices(0).content(), "hm</think>\nyes");
  EXPECT_EQ(raw.choices(0).reasoning_content(), "");
  ExpectStreamed(request, raw);
  request.clear_separate_reasoning();
  request.set_exclude_reasoning(true);
  const v1::ChatAnswer excluded = Whole(request);
  EXPECT_EQ(excluded.choices(0).content(), "yes");
  EXPECT_EQ(excluded.choices(0).reasoning_content(), "");
  EXPECT_EQ(excluded.usage().reasoning_tokens(), 3u);
  ExpectStreamed(request, excluded);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(i)), 8u) << i;
}

TEST_F(GatewayGrpcReasoningTest, ReasoningIsContinuedAndLoopsAreSaid) {
  std::string rounds;
  for (int i = 0; i < 300; ++i) rounds += "ab ";
  Say(testing::TinyIds(rounds));
  v1::ChatRequest request = Hello();
  request.set_max_tokens(1000);
  request.set_loop_guard(true);
  v1::ChatMessage& last = *request.add_messages();
  last.set_role("assistant");
  last.set_reasoning_content("hm");
  const v1::ChatAnswer answer = Whole(request);
  EXPECT_EQ(answer.choices(0).finish_reason(), "length");
  EXPECT_EQ(answer.choices(0).finish_detail(), "loop");
  EXPECT_TRUE(answer.choices(0).reasoning_content().starts_with("ab ab "));
  ExpectStreamed(request, answer);
}

}  // namespace
}  // namespace quire::gateway
