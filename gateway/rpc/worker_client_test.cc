// The client of worker groups against a real in-process group.
#include "gateway/rpc/worker_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/net/grpc.h"
#include "gateway/rpc/test_spoken_group.h"

namespace quire::gateway {
namespace {

class WorkerClientTest : public testing::Test {
 protected:
  WorkerClientTest() {
    auto started = StartGrpcServer({}, {&group_});
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    address_ = absl::StrCat("127.0.0.1:", server_.port);
  }
  ~WorkerClientTest() override {
    client_.reset();
    server_.server->Shutdown(std::chrono::system_clock::now());
  }

  std::unique_ptr<WorkerCall> Call(Heard& heard, uint32_t max_tokens = 1) {
    v1::GenerateRequest request;
    request.set_max_tokens(max_tokens);
    return client_->Generate(address_, request, heard.Listener());
  }

  SpokenGroup group_;
  GrpcServer server_;
  std::string address_;
  ManualClock clock_;
  std::map<std::string, std::vector<std::weak_ptr<grpc::Channel>>> channels_;  // that were made
  std::unique_ptr<WorkerClient> client_ = std::make_unique<WorkerClient>(
      [this](const std::string& address) {
        auto channel = MakeGrpcChannel(address, {});
        channels_[address].push_back(*channel);
        return channel;
      },
      clock_);
};

TEST_F(WorkerClientTest, ManyRequestsShareOneSession) {
  std::vector<Heard> heard(8);
  std::vector<std::unique_ptr<WorkerCall>> calls;
  for (Heard& one : heard) calls.push_back(Call(one, static_cast<uint32_t>(calls.size()) + 10));
  GroupEnd& session = group_.Session(1);
  v1::GroupFrame frame;
  for (size_t i = 1; i <= heard.size(); ++i) {
    const v1::Submit submit = session.AwaitSubmit(i);
    EXPECT_EQ(submit.tag(), i);
    EXPECT_EQ(submit.request().max_tokens(), 9 + i);
    EXPECT_EQ(submit.credit(), WorkerClient::kReadAhead);
    v1::RequestUpdate& update = *frame.add_updates();
    update.set_tag(submit.tag());
    update.mutable_tokens()->mutable_ids()->Resize(static_cast<int>(i), 7);
  }
  session.Say(frame);  // one frame for all
  for (size_t i = 1; i <= heard.size(); ++i) {
    heard[i - 1].AwaitTokens(static_cast<int64_t>(i));
    session.SayEnded(i);
    EXPECT_TRUE(heard[i - 1].AwaitEnd().ok());
    EXPECT_EQ(heard[i - 1].tokens(), static_cast<int64_t>(i));
  }
  EXPECT_EQ(group_.sessions(), 1u);
  EXPECT_EQ(channels_[address_].size(), 1u);
}

// An answer may take hours: it is silence that ends it (Generation).
TEST_F(WorkerClientTest, ASessionHasNoDeadline) {
  Heard heard;
  const auto call = Call(heard);
  EXPECT_EQ(group_.Session(1).deadline(), std::chrono::system_clock::time_point::max());
}

TEST_F(WorkerClientTest, EachRequestEndsWithItsOwnStatus) {
  Heard full, wrong, stays;
  const auto first = Call(full), second = Call(wrong), third = Call(stays);
  GroupEnd& session = group_.Session(1);
  session.SayEnded(2, absl::StatusCode::kInvalidArgument);
  session.SayEnded(1, absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::IsInvalidArgument(wrong.AwaitEnd()));
  EXPECT_TRUE(absl::IsResourceExhausted(full.AwaitEnd()));
  session.SayTokens(3, 2);
  stays.AwaitTokens(2);
  EXPECT_EQ(stays.ends(), 0u);
}

TEST_F(WorkerClientTest, DroppingACallAbortsItAndItHearsNothingMore) {
  Heard left, stays;
  auto first = Call(left), second = Call(stays);
  GroupEnd& session = group_.Session(1);
  session.SayTokens(1, 1);
  left.AwaitTokens(1);
  first.reset();
  session.AwaitAbort(1);
  session.SayTokens(1, 1);  // was on its way
  session.SayEnded(1);
  session.SayTokens(2, 1);
  stays.AwaitTokens(1);
  EXPECT_EQ(left.tokens(), 1);
  EXPECT_EQ(left.ends(), 0u);
  Heard next;
  const auto third = Call(next);
  EXPECT_EQ(session.AwaitSubmit(3).tag(), 3u);  // no tag is used twice
}

TEST_F(WorkerClientTest, ACallThatHasEndedIsNotAborted) {
  Heard over, next;
  auto first = Call(over);
  GroupEnd& session = group_.Session(1);
  session.SayEnded(1);
  EXPECT_TRUE(over.AwaitEnd().ok());
  first.reset();
  auto second = Call(next);
  session.AwaitSubmit(2);
  second.reset();
  session.AwaitAbort(2);
  EXPECT_EQ(session.aborts(), 1u);
}

TEST_F(WorkerClientTest, GrantsGoUp) {
  Heard slow, fast;
  const auto first = Call(slow), second = Call(fast);
  GroupEnd& session = group_.Session(1);
  second->Grant(32);
  second->Grant(64);
  session.AwaitCredit(2, 96);
  first->Grant(32);
  session.AwaitCredit(1, 32);
}

TEST_F(WorkerClientTest, ASessionThatEndsEndsEachOfItsRequestsOnce) {
  const std::vector<std::pair<grpc::Status, absl::StatusCode>> ends = {
      {{grpc::UNAVAILABLE, "rank 1 is gone"}, absl::StatusCode::kUnavailable},
      {{grpc::ABORTED, "it drains"}, absl::StatusCode::kAborted},
      {{grpc::RESOURCE_EXHAUSTED, "as many sessions as it takes"}, absl::StatusCode::kResourceExhausted},
      // What would be a request's own fault is none where a session says it.
      {{grpc::INTERNAL, "RST_STREAM"}, absl::StatusCode::kUnavailable},
      {{grpc::INVALID_ARGUMENT, "a tag"}, absl::StatusCode::kUnavailable},
      {{grpc::CANCELLED, "by the server"}, absl::StatusCode::kUnavailable},
      {grpc::Status::OK, absl::StatusCode::kUnavailable}};
  for (size_t i = 0; i < ends.size(); ++i) {
    Heard first, second, ended;
    const auto one = Call(first), two = Call(second), three = Call(ended);
    GroupEnd& session = group_.Session(i + 1);
    session.AwaitSubmit(3);
    session.SayEnded(3);
    EXPECT_TRUE(ended.AwaitEnd().ok());
    session.End(ends[i].first);
    EXPECT_EQ(first.AwaitEnd().code(), ends[i].second) << i;
    EXPECT_EQ(second.AwaitEnd().code(), ends[i].second) << i;
    EXPECT_EQ(first.ends() + second.ends() + ended.ends(), 3u);
  }
}

// Whether a request meets a session that is ending or the next one, it hears of its end once.
TEST_F(WorkerClientTest, RequestsThatMeetTheEndOfASessionAreNotLost) {
  size_t opened = 0;
  for (int round = 0; round < 30; ++round) {
    Heard before, during;
    const auto first = Call(before);
    GroupEnd& session = group_.Session(++opened);
    std::thread ends([&] { session.End({grpc::UNAVAILABLE, "going"}); });
    const auto second = Call(during);
    ends.join();
    EXPECT_TRUE(absl::IsUnavailable(before.AwaitEnd()));
    while (during.ends() == 0 && group_.sessions() == opened) std::this_thread::yield();
    if (group_.sessions() > opened) group_.Session(++opened).End({grpc::UNAVAILABLE, "going"});
    EXPECT_TRUE(absl::IsUnavailable(during.AwaitEnd()));
    EXPECT_EQ(before.ends() + during.ends(), 2u);
  }
}

TEST_F(WorkerClientTest, ANewSessionIsOpenedAfterOneThatEndedAndItsChannelGoes) {
  Heard first, second, third;
  const auto one = Call(first);
  group_.Session(1).End({grpc::UNAVAILABLE, "going"});
  EXPECT_FALSE(first.AwaitEnd().ok());
  const auto two = Call(second);
  EXPECT_EQ(group_.Session(2).AwaitSubmit(1).tag(), 1u);
  group_.Session(2).End({grpc::UNAVAILABLE, "going"});
  EXPECT_FALSE(second.AwaitEnd().ok());
  ASSERT_EQ(channels_[address_].size(), 2u);
  // The last one that ended is kept until the next does; that one's call may still let go of it.
  for (const absl::Time give_up = absl::Now() + kPatience; absl::Now() < give_up;) {
    if (channels_[address_][0].expired()) return;
    std::this_thread::yield();
  }
  ADD_FAILURE() << "the channel is still there";
}

TEST_F(WorkerClientTest, AGroupThatClosesEndsNothingThatWasSaidBefore) {
  Heard answered, refused, next;
  const auto one = Call(answered), two = Call(refused);
  GroupEnd& session = group_.Session(1);
  session.AwaitSubmit(2);
  session.SayTokens(1, 3);
  session.SayEnded(1);
  v1::GroupFrame closing;
  closing.set_closing(true);
  session.Say(closing);
  session.SayEnded(2, absl::StatusCode::kAborted);  // it came too late
  EXPECT_TRUE(session.reads_done().WaitForNotificationWithTimeout(kPatience));
  EXPECT_FALSE(session.cancelled().HasBeenNotified());
  const auto three = Call(next);
  EXPECT_EQ(group_.Session(2).AwaitSubmit(1).tag(), 1u);
  session.End({grpc::ABORTED, "closed"});
  EXPECT_TRUE(answered.AwaitEnd().ok());
  EXPECT_EQ(answered.tokens(), 3);
  EXPECT_TRUE(absl::IsAborted(refused.AwaitEnd()));
  EXPECT_EQ(next.ends(), 0u);
}

TEST_F(WorkerClientTest, HearsOfTheGroupWhateverItSaysToWhom) {
  Heard quiet, loud;
  const auto first = Call(quiet), second = Call(loud);
  GroupEnd& session = group_.Session(1);
  clock_.AdvanceUs(1000);
  session.SayTokens(2, 1);
  loud.AwaitTokens(1);
  EXPECT_EQ(first->heard_us(), clock_.NowUs());
  clock_.AdvanceUs(1000);
  session.Say(v1::GroupFrame());  // a beat
  session.SayTokens(2, 1);
  loud.AwaitTokens(2);
  EXPECT_EQ(first->heard_us(), clock_.NowUs());
}

TEST_F(WorkerClientTest, AGroupThatIsNotThereEndsTheCallAtOnce) {
  Heard heard;
  const auto call = client_->Generate("127.0.0.1:1", {}, heard.Listener());
  EXPECT_TRUE(absl::IsUnavailable(heard.AwaitEnd()));
}

TEST_F(WorkerClientTest, ARequestBeyondTheWiresLimitFailsAlone) {
  Heard large, other;
  v1::GenerateRequest request;
  request.mutable_prompt_ids()->Resize(9 << 20, 1);
  EXPECT_EQ(client_->Generate(address_, request, large.Listener()), nullptr);
  EXPECT_TRUE(absl::IsInvalidArgument(large.AwaitEnd()));
  const auto call = Call(other);
  group_.Session(1).SayTokens(1, 1);
  other.AwaitTokens(1);
}

TEST_F(WorkerClientTest, TheEndOfTheClientEndsItsSessionsAndHandlesMayOutliveIt) {
  Heard heard;
  const auto call = Call(heard);
  GroupEnd& session = group_.Session(1);
  session.AwaitSubmit(1);
  client_.reset();
  EXPECT_EQ(heard.ends(), 1u);
  call->Grant(32);
  EXPECT_TRUE(session.cancelled().WaitForNotificationWithTimeout(kPatience));
}

}  // namespace
}  // namespace quire::gateway
