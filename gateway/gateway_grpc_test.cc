// quire.v1.Chat beside the HTTP API: the same answers, the same refusals, the same bill; what leaving costs.
#include <google/protobuf/unknown_field_set.h>

#include <functional>

#include "gateway/gateway_grpc_test_fixture.h"

namespace quire::gateway {
namespace {

TEST_F(GatewayGrpcTest, AnswersAsTheHttpApiDoes) {
  AnswerWith("h\xC3\xA9llo");
  const json http = json::parse(Chat("").body);
  v1::ChatAnswer whole;
  const grpc::Status status = Ask(Hello(), &whole);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(whole.choices_size(), 1);
  EXPECT_EQ(whole.choices(0).content(), http["choices"][0]["message"]["content"]);
  EXPECT_EQ(whole.choices(0).finish_reason(), http["choices"][0]["finish_reason"]);
  EXPECT_EQ(whole.model(), "tiny");
  EXPECT_EQ(whole.usage().prompt_tokens(), http["usage"]["prompt_tokens"]);
  EXPECT_EQ(whole.usage().completion_tokens(), http["usage"]["completion_tokens"]);
  EXPECT_EQ(whole.usage().cached_tokens(), 3u);
  EXPECT_EQ(static_cast<double>(whole.usage().cost_nano_usd()) / 1e9, http["usage"]["estimated_cost"]);

  auto context = Context(backend_.key());
  auto reader = stub_->ChatStream(context.get(), Hello());
  std::string text, finish;
  int usages = 0;
  for (v1::ChatChunk chunk; reader->Read(&chunk);) {
    EXPECT_EQ(usages, 0) << "the usage is the last";
    text += chunk.content();
    if (!chunk.finish_reason().empty()) finish = chunk.finish_reason();
    usages += chunk.has_usage();
    if (chunk.has_usage()) {
      EXPECT_EQ(chunk.usage().SerializeAsString(), whole.usage().SerializeAsString());
    }
  }
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(text, "h\xC3\xA9llo");
  EXPECT_EQ(finish, "stop");
  EXPECT_EQ(usages, 1);
  EXPECT_EQ(context->GetServerInitialMetadata().count("x-request-id"), 1u);
  for (size_t i = 0; i < 3; ++i) {
    const v1::RequestSettle settle = backend_.AwaitSettle(i);
    EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 7u) << i;
    EXPECT_EQ(settle.reason(), v1::SETTLE_COMPLETED) << i;
  }
}

TEST_F(GatewayGrpcTest, SaysEveryFieldToTheWorkerAsHttpDoes) {
  std::vector<v1::GenerateRequest> seen;
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    seen.push_back(request);
    out.Accept();
    for (int i = 0; i < request.choices_size(); ++i) {
      out.Choose(i);
      out.Finish(v1::FINISH_LENGTH);
    }
    return kOk;
  };
  const char* fields =
      R"("temperature": 0.5, "top_p": 0.25, "min_p": 0.125, "top_k": 7, "repetition_penalty": 1.5,
      "presence_penalty": -1, "frequency_penalty": 2, "logit_bias": {"5": -3.5}, "seed": -2, "n": 3, "logprobs": true,
      "top_logprobs": 4, "stop": ["x"], "stop_token_ids": [9], "ignore_eos": true, "min_tokens": 2, "user": "u",
      "reasoning_effort": "low")";
  ASSERT_EQ(Chat(fields).status, 200);
  v1::ChatRequest request = Hello();
  request.set_temperature(0.5);
  request.set_top_p(0.25);
  request.set_min_p(0.125);
  request.set_top_k(7);
  request.set_repetition_penalty(1.5);
  request.set_presence_penalty(-1);
  request.set_frequency_penalty(2);
  (*request.mutable_logit_bias())[5] = -3.5;
  request.set_seed(-2);
  request.set_n(3);
  request.set_logprobs(true);
  request.set_top_logprobs(4);
  request.add_stop("x");
  request.add_stop_token_ids(9);
  request.set_ignore_eos(true);
  request.set_min_tokens(2);
  request.set_user("u");
  request.set_reasoning_effort("low");
  const grpc::Status status = Refused(request);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(seen.size(), 2u);
  for (v1::GenerateRequest& one : seen) one.clear_request_id();
  EXPECT_EQ(seen[0].SerializeAsString(), seen[1].SerializeAsString());
}

TEST_F(GatewayGrpcTest, RefusesWithTheHttpApisWordsAndACodeOfItsOwn) {
  v1::ChatRequest hot = Hello();
  hot.set_temperature(3);
  const grpc::Status invalid = Refused(hot);
  EXPECT_EQ(invalid.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const json http = json::parse(Chat("\"temperature\": 3").body)["error"];
  EXPECT_EQ(invalid.error_message(), http["message"]);
  EXPECT_EQ(InfoOf(invalid).reason(), http["code"]);
  EXPECT_EQ(InfoOf(invalid).metadata().at("param"), "temperature");

  v1::ChatRequest both = Hello();
  both.mutable_messages(0)->add_parts("and a part");
  EXPECT_EQ(InfoOf(Refused(both)).metadata().at("param"), "messages.0.content");
  v1::ChatRequest other = Hello();
  other.set_model("unknown");
  EXPECT_EQ(Refused(other).error_code(), grpc::StatusCode::NOT_FOUND);
  v1::ChatAnswer answer;
  EXPECT_EQ(stub_->Chat(Context("").get(), Hello(), &answer).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(stub_->Chat(Context("sk-quire-x").get(), Hello(), &answer).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(backend_.settled(), 0u) << "none of them got as far as Admit";
}

TEST_F(GatewayGrpcTest, ARefusalSaysWhenToTryAgain) {
  backend_.admit = [](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(ScriptedBackend::Refusal(v1::REFUSAL_QUEUE_FULL, 7));
    return kOk;
  };
  const grpc::Status status = Refused(Hello());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  rpc::Status details;
  rpc::RetryInfo retry;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 2);
  ASSERT_TRUE(retry.ParseFromString(details.details(1).value()));
  EXPECT_EQ(retry.retry_delay().seconds(), 7);
}

TEST_F(GatewayGrpcTest, WhoLeavesStopsTheWorkerAndPaysWhatWasDelivered) {
  for (const bool by_deadline : {false, true}) {
    Notification stopped;
    backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept();
      out.Text("abc");
      out.AwaitCancel();
      stopped.Notify();
      return kOk;
    };
    auto context = Context(backend_.key());
    if (by_deadline) context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    auto reader = stub_->ChatStream(context.get(), Hello());
    std::string text;
    for (v1::ChatChunk chunk; text.size() < 3 && reader->Read(&chunk);) text += chunk.content();
    EXPECT_EQ(text, "abc");
    if (!by_deadline) context->TryCancel();
    stopped.WaitForNotification();
    EXPECT_EQ(reader->Finish().error_code(),
              by_deadline ? grpc::StatusCode::DEADLINE_EXCEEDED : grpc::StatusCode::CANCELLED);
    const v1::RequestSettle settle = backend_.AwaitSettle(by_deadline ? 1 : 0);
    EXPECT_EQ(settle.reason(), v1::SETTLE_CLIENT_GONE);
    EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 3u);
  }
}

TEST_F(GatewayGrpcTest, AnErrorInMidstreamIsTheStatusBehindWhatWasSaid) {
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("ab");
    return grpc::Status(grpc::StatusCode::INTERNAL, "it broke");
  };
  auto context = Context(backend_.key());
  auto reader = stub_->ChatStream(context.get(), Hello());
  std::string text;
  for (v1::ChatChunk chunk; reader->Read(&chunk);) {
    EXPECT_FALSE(chunk.has_usage());
    text += chunk.content();
  }
  EXPECT_EQ(text, "ab");
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 2u);
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_NE(status.error_message().find("send it again"), std::string::npos) << status.error_message();
}

// Of a whole answer all or nothing is delivered.
TEST_F(GatewayGrpcTest, AWholeAnswerThatIsCancelledCostsNothing) {
  Notification runs;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("abc");
    runs.Notify();
    out.AwaitCancel();
    return kOk;
  };
  auto context = Context(backend_.key());
  std::thread cancel([&] {
    runs.WaitForNotification();
    context->TryCancel();
  });
  v1::ChatAnswer answer;
  EXPECT_EQ(stub_->Chat(context.get(), Hello(), &answer).error_code(), grpc::StatusCode::CANCELLED);
  cancel.join();
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_ABANDONED);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 0u);
}

// Many small fields are few bytes on the wire and much memory here.
TEST_F(GatewayGrpcTest, AMessageOfVeryManyFieldsIsRefused) {
  v1::ChatRequest request = Hello();
  for (int i = 0; i < 150'000; ++i) request.mutable_messages(0)->add_parts("");
  EXPECT_NE(Refused(request).error_message().find("more than 100000 fields"), std::string::npos);
  request = Hello();
  for (int i = 0; i < 150'000; ++i) request.add_stop_token_ids(1);
  EXPECT_EQ(InfoOf(Refused(request)).metadata().at("param"), "stop_token_ids");
}

// Also those that no one knows, in whatever message.
TEST_F(GatewayGrpcTest, FieldsOfEachNestedMessageAreCounted) {
  using google::protobuf::Message;
  const std::function<Message*(v1::ChatRequest&)> nested[] = {
      [](v1::ChatRequest& request) { return &request; },
      [](v1::ChatRequest& request) { return request.mutable_messages(0); },
      [](v1::ChatRequest& request) { return request.mutable_messages(0)->add_tool_calls(); },
      [](v1::ChatRequest& request) { return request.add_tools(); },
      [](v1::ChatRequest& request) { return request.mutable_tool_choice(); },
      [](v1::ChatRequest& request) { return request.mutable_response_format(); },
      [](v1::ChatRequest& request) { return request.mutable_response_format()->mutable_json_schema(); },
  };
  for (const auto& message_of : nested) {
    v1::ChatRequest request = Hello();
    Message& message = *message_of(request);
    auto& unknown = *message.GetReflection()->MutableUnknownFields(&message);
    for (int i = 0; i < 150'000; ++i) unknown.AddLengthDelimited(2000, "");
    EXPECT_NE(Refused(request).error_message().find("more than 100000 fields"), std::string::npos)
        << message.GetTypeName();
    unknown.Clear();
    unknown.AddGroup(2000)->AddVarint(1, 1);
    EXPECT_NE(Refused(request).error_message().find("is no quire.v1.ChatRequest"), std::string::npos)
        << message.GetTypeName();
  }
}

TEST_F(GatewayGrpcTest, NothingIsInflatedForAStranger) {
  auto context = Context("");
  context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::ChatRequest request = Hello();
  request.mutable_messages(0)->set_content(std::string(1 << 20, 'x'));
  v1::ChatAnswer answer;
  EXPECT_EQ(stub_->Chat(context.get(), request, &answer).error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

class StalledGrpcTest : public GatewayGrpcTest {
 protected:
  void SetUp() override {
    GatewayOptions options;
    options.grpc_port = 0;
    options.limits.write_timeout = std::chrono::milliseconds(200);
    Start(options);
    // A client that takes little beyond what it reads.
    grpc::ChannelArguments small;
    small.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    small.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 16 << 10);
    const std::string address = absl::StrCat("127.0.0.1:", gateway_->grpc_port());
    stub_ = v1::Chat::NewStub(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), small));
  }
};

// Its window is full and it takes nothing more: after a while its call is over, and its worker free.
TEST_F(StalledGrpcTest, WhoTakesNothingIsCutOff) {
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text(std::string(1400, 'x'));
    out.AwaitCancel();
    return kOk;
  };
  v1::ChatRequest request = Hello();
  request.set_max_tokens(1450);
  request.mutable_messages(0)->set_content("hi");
  auto context = Context(backend_.key());
  auto reader = stub_->ChatStream(context.get(), request);
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_CLIENT_GONE);
  EXPECT_LT(ScriptedBackend::DeliveredOf(settle), 1400u);
  context->TryCancel();
}

TEST_F(GatewayGrpcTest, CountsTokensWithoutABill) {
  v1::CountTokensReply reply;
  ASSERT_TRUE(stub_->CountTokens(Context(backend_.key()).get(), Hello(), &reply).ok());
  AnswerWith("x");
  EXPECT_EQ(reply.prompt_tokens(), json::parse(Chat("").body)["usage"]["prompt_tokens"]);
  backend_.AwaitSettle();
  EXPECT_EQ(backend_.settled(), 1u);
  EXPECT_EQ(stub_->CountTokens(Context("").get(), Hello(), &reply).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GatewayGrpcTest, ListsTheModelsOfTheKey) {
  v1::ListModelsReply reply;
  ASSERT_TRUE(stub_->ListModels(Context(backend_.key()).get(), {}, &reply).ok());
  const json http = json::parse(Call(Request("GET", "/v1/models", "", backend_.key())).body);
  ASSERT_EQ(reply.models_size(), static_cast<int>(http["data"].size()));
  EXPECT_EQ(reply.models(0).id(), http["data"][0]["id"]);
  EXPECT_EQ(reply.models(0).max_context(), http["data"][0]["metadata"]["context_length"]);
  const json& can = http["data"][0]["capabilities"];
  EXPECT_EQ(reply.models(0).capabilities().chat(), can["chat"]);
  EXPECT_EQ(reply.models(0).capabilities().tools(), can["tools"]);
  EXPECT_EQ(reply.models(0).capabilities().reasoning(), can["reasoning"]);
  EXPECT_TRUE(reply.models(0).capabilities().json() && reply.models(0).capabilities().completions());
  EXPECT_EQ(stub_->ListModels(Context("").get(), {}, &reply).error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

// A drain lets calls end, and one that does not is told so.
TEST_F(GatewayGrpcTest, ADrainEndsWhatDoesNotEndItself) {
  Notification runs;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    runs.Notify();
    out.AwaitCancel();
    return kOk;
  };
  auto context = Context(backend_.key());
  auto reader = stub_->ChatStream(context.get(), Hello());
  v1::ChatChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  runs.WaitForNotification();
  std::thread drain([&] { EXPECT_TRUE(gateway_->Drain(absl::ZeroDuration(), absl::Seconds(20))); });
  while (reader->Read(&chunk)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  drain.join();
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 1u);
}

}  // namespace
}  // namespace quire::gateway
