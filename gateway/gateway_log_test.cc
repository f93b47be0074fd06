// What a failure leaves in the log: whoever sees a 503 finds there why.
#include <gmock/gmock.h>

#include <optional>
#include <thread>

#include "absl/time/clock.h"
#include "base/core/test_log.h"
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

using ::testing::HasSubstr;

class GatewayLogTest : public GatewayTest {
 protected:
  void SetUp() override {
    log_.emplace();
    GatewayTest::SetUp();
  }
  void TearDown() override {
    gateway_.reset();
    log_.reset();
  }
  std::optional<CapturedLog> log_;
};

TEST_F(GatewayLogTest, AnAdmitThatIsRefusedForGoodSaysWhy) {
  backend_.admit = [](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter&) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "a row of the ledger is damaged");
  };
  EXPECT_EQ(Chat("").status, 503);
  EXPECT_EQ(log_->Count("admit_broken"), 1);
  EXPECT_THAT(log_->Text(), HasSubstr("a row of the ledger is damaged"));
}

TEST_F(GatewayLogTest, AReadmitThatIsRefusedForGoodSaysWhy) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "rank 1 is gone");
  };
  backend_.readmit_ends = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the request id has another form");
  EXPECT_EQ(Chat("").status, 503);
  EXPECT_EQ(log_->Count("readmit_broken"), 1);
  EXPECT_THAT(log_->Text(), HasSubstr("the request id has another form"));
}

// Unanswered for long enough it ends every answer.
TEST_F(GatewayLogTest, AProgressThatIsNotAnsweredSaysWhyOnceEachOutage) {
  backend_.progress_ends = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "this gateway is unknown");
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("ab");
    const absl::Time give_up = absl::Now() + absl::Seconds(60);
    while (log_->Count("progress_unanswered") == 0 && absl::Now() < give_up) std::this_thread::yield();
    out.Token(kTinyEos);
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  EXPECT_EQ(ChatStream().text, "ab");
  EXPECT_THAT(log_->Text(), HasSubstr("this gateway is unknown"));
  EXPECT_EQ(log_->Count("progress_unanswered"), 1);
}

}  // namespace
}  // namespace quire::gateway
