// Jobs that throw, which no other test can have: by a writer of the test's own.
#include "gateway/api/webhooks/webhook_jobs.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <stdexcept>

#include "base/core/test_log.h"
#include "gateway/api/chat/test_chat_door.h"
#include "gateway/api/inference/inference_door.h"

namespace quire::gateway {
namespace {

namespace asio = boost::asio;

class ThrowingWriter final : public AnswerWriter {
 public:
  explicit ThrowingWriter(std::function<void()> act) : act_(std::move(act)) {}

  void Delta(const Piece& /*piece*/, Sink& /*sink*/) override { act_(); }
  void End(const ChoiceEnd& /*end*/, Sink& /*sink*/) override {}
  void Close(const Usage& /*usage*/, Sink& /*sink*/) override {}
  void Fail(const http::ApiError& /*error*/, Sink& /*sink*/) override {}

 private:
  const std::function<void()> act_;
};

class WebhookJobsTest : public ChatDoorTest {
 protected:
  WebhookJobsTest() {
    backend_.generate = [](const v1::GenerateRequest&, testing::TokenWriter& out) {
      out.Accept();
      out.Text("a");
      out.Finish(v1::FINISH_LENGTH);
      return grpc::Status::OK;
    };
  }

  std::unique_ptr<WebhookJobs> Jobs(http::RequestSink log = [](const http::RequestRecord&) {}) {
    WebhookOptions options;
    options.retry_ms = 1;
    options.look_up = [](const std::string&) { return absl::UnavailableError("the name is not known"); };
    return *WebhookJobs::Make(options, backend_.pepper(), pipeline_, clock_, metrics_, std::move(log));
  }

  // A job whose writer does this in place of writing.
  void Begin(WebhookJobs& jobs, std::function<void()> act) {
    const Newcomer newcomer =
        std::get<Newcomer>(pipeline_.Enter(facts_.FindKey(ParseApiKey(backend_.key())->id)));
    const auto parse = [act = std::move(act)](std::string_view body) -> ApiResult<DoorRequest> {
      ApiResult<DoorRequest> parsed = ParseInference(body, "tiny");
      std::get<DoorRequest>(parsed).make_writer = [act](const AnswerHead&) {
        return std::make_unique<ThrowingWriter>(act);
      };
      return parsed;
    };
    asio::io_context context;
    const RequestId id = RequestId::Random();
    auto prepared = asio::co_spawn(
        context,
        pipeline_.Prepare(newcomer, id, R"({"input": "ab", "webhook": "https://hooks.example/"})", parse),
        asio::use_future);
    context.run();
    http::RequestRecord asked;
    asked.key_id = asked.account = "somebody";
    EXPECT_FALSE(jobs.Begin(std::get<Prepared>(prepared.get()), id, asked));
  }
};

TEST_F(WebhookJobsTest, WhatIsThrownIsNotQuotedAndEndsTheJobAlone) {
  const CapturedLog log;
  const auto jobs = Jobs();
  Begin(*jobs, [] { throw std::runtime_error("a client's words"); });
  EXPECT_TRUE(jobs->AwaitIdle(absl::Seconds(60)));
  Begin(*jobs, [] { throw 7; });
  EXPECT_TRUE(jobs->AwaitIdle(absl::Seconds(60))) << "its place is free again";
  EXPECT_EQ(log.Count("job_threw"), 2);
  EXPECT_EQ(log.Count("webhook"), 2) << "they failed, and said so";
  EXPECT_EQ(log.Text().find("client's words"), std::string::npos) << log.Text();
}

TEST_F(WebhookJobsTest, OneWhoseEndThrowsLeaves) {
  const CapturedLog log;
  const auto jobs = Jobs([](const http::RequestRecord&) { throw std::bad_alloc(); });
  Begin(*jobs, [] {});
  EXPECT_TRUE(jobs->AwaitIdle(absl::Seconds(60)));
  EXPECT_EQ(log.Count("job_threw"), 1);
}

}  // namespace
}  // namespace quire::gateway
