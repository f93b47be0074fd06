#include "base/http/metrics_plane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/http/test_replies.h"

namespace quire::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MetricsPlaneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto started = MetricsPlane::Start(
        {}, metrics_,
        {.readiness = [this] { return readiness_; }, .metrics = [this] { return metrics_.Text(); }});
    ASSERT_TRUE(started.ok()) << started.status();
    plane_ = *std::move(started);
  }
  TestReply Get(const std::string& path, const std::string& method = "GET") {
    TestClient client(plane_->port());
    client.Send(method + " " + path + " HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n\r\n");
    return TestReplies(client).Next(method == "HEAD");
  }

  Metrics metrics_;
  Readiness readiness_;  // set before it is asked for
  std::unique_ptr<MetricsPlane> plane_;
};

TEST_F(MetricsPlaneTest, AnswersWhatMachinesAsk) {
  EXPECT_EQ(plane_->address(), "127.0.0.1:" + std::to_string(plane_->port()));
  EXPECT_EQ(Get("/livez").status, 200);
  EXPECT_EQ(Get("/healthz").status, 200);
  readiness_ = {.ready = false, .state = "loading"};
  const TestReply loading = Get("/readyz");
  EXPECT_EQ(loading.status, 503);
  EXPECT_THAT(loading.body, HasSubstr("loading"));
  readiness_ = {.ready = true, .state = "serving"};
  EXPECT_EQ(Get("/readyz").status, 200);
  EXPECT_EQ(Get("/readyz", "HEAD").status, 200);
  metrics_.Counter("quire_things_total", "Things.").Increment();
  const TestReply metrics = Get("/metrics");
  EXPECT_THAT(metrics.Header("content-type"), HasSubstr("text/plain"));
  EXPECT_THAT(metrics.body, HasSubstr("quire_things_total 1"));
  EXPECT_THAT(metrics.body, HasSubstr("plane=\"metrics\""));
}

TEST_F(MetricsPlaneTest, ChecksHeadsAndRefusesAsEveryPlane) {
  EXPECT_EQ(Get("/nothing").status, 404);
  EXPECT_THAT(Get("/nothing").body, HasSubstr(R"("code":"no_route")"));
  EXPECT_EQ(Get("/metrics", "POST").status, 405);
  EXPECT_EQ(Get("//metrics").status, 400);
  EXPECT_EQ(Get("/metrics").Header("x-request-id").size(), 32u);
}

TEST_F(MetricsPlaneTest, NoPageOfAnotherOriginMayRead) {
  EXPECT_THAT(Get("/metrics").head, Not(HasSubstr("access-control")));
  EXPECT_THAT(Get("/metrics", "OPTIONS").head, Not(HasSubstr("access-control")));
}

TEST(MetricsPlaneStart, SaysThatItsPortIsTaken) {
  Metrics metrics;
  const Probes probes{.readiness = [] { return Readiness(); }, .metrics = [] { return std::string(); }};
  const auto first = MetricsPlane::Start({}, metrics, probes);
  ASSERT_TRUE(first.ok());
  const auto second = MetricsPlane::Start({.host = "127.0.0.1", .port = (*first)->port()}, metrics, probes);
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
}

}  // namespace
}  // namespace quire::http
