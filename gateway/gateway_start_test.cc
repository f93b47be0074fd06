// What a gateway says when it starts: to a configuration that can't be meant, and to a model that is broken.
#include <optional>

#include "base/core/test_log.h"
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

TEST(GatewayStartTest, RefusesPlaintextToAnotherMachine) {
  GatewayOptions options;
  options.coordinator = "192.0.2.1:9000";
  EXPECT_TRUE(absl::IsFailedPrecondition(Gateway::Start(options).status()));
  options.insecure = true;
  options.pepper = "pepper";
  EXPECT_TRUE(Gateway::Start(options).ok());
}

TEST(GatewayStartTest, RefusesAnEmptyPepper) {
  GatewayOptions options;
  options.coordinator = "127.0.0.1:1";
  const absl::Status refused = Gateway::Start(options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_NE(refused.message().find("--pepper-file"), std::string::npos);
}

// One of two models has a template that is none.
class BrokenModelTest : public GatewayTest {
 protected:
  void SetUp() override {
    v1::TextBundle bundle = testing::TinyBundle();
    v1::TextFile& file = *bundle.add_files();
    file.set_name("chat_template.jinja");
    file.set_content("{% if %}");
    backend_.other_bundle = bundle.SerializeAsString();
    log_.emplace();
    StartGateway();
  }
  void TearDown() override {
    gateway_.reset();
    log_.reset();
  }
  std::optional<CapturedLog> log_;
};

TEST_F(BrokenModelTest, IsToldToTheOperator) {
  EXPECT_NE(Metrics().find("\nquire_gateway_models_unavailable 1\n"), std::string::npos);
  EXPECT_EQ(log_->Count("text_bundle_not_loaded"), 1) << log_->Text();
  const std::string log = log_->Text();
  const size_t line = log.find("text_bundle_not_loaded");
  for (const char* said : {R"("model":"other")", "chat_template.jinja: chat template, line 1",
                           "when the model's files change"}) {
    EXPECT_NE(log.find(said, line), std::string::npos) << said << " is not in " << log;
  }
}

TEST_F(BrokenModelTest, TakesOnlyItselfOutOfService) {
  EXPECT_EQ(Ready(), 200);
  AnswerWith("Hello");
  EXPECT_EQ(Chat("").status, 200);
  const std::string body = R"({"model": "other", "messages": [{"role": "user", "content": "hi"}]})";
  const HttpAnswer answer = Call(Request("POST", "/v1/chat/completions", body, backend_.key()));
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(json::parse(answer.body)["error"]["code"], "model_unavailable") << answer.body;
  EXPECT_EQ(answer.body.find("template"), std::string::npos) << "what is wrong is for the operator";
}

}  // namespace
}  // namespace quire::gateway
