// Whom silence blames: a worker that says nothing is given up, and nobody else is, whoever slept or didn't
// read.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/core/bounded_queue.h"
#include "base/core/mutex.h"
#include "gateway/api/chat/test_chat_door.h"

namespace quire::gateway {
namespace {

using testing::ScriptedBackend;
using testing::TokenWriter;

// A worker that beats may take as long as it likes over an answer; one that doesn't is left, and only then.
TEST_F(ChatDoorTest, SilenceEndsAnAttemptAndLengthDoesNot) {
  const int64_t limit_ms = services_.silence_limit.count();
  BoundedQueue<std::string> words(10);
  Notification left;
  backend_.readmit = [this](const v1::ReadmitRequest&) { return backend_.Elsewhere(2); };
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    if (request.attempt() == 1) {
      while (const auto word = words.Pop()) out.Text(*word);
      out.AwaitCancel();
      left.Notify();
    } else {
      out.Text("!");
      out.Finish(v1::FINISH_LENGTH);
    }
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)")));
  for (const char* word : {"a", "b"}) {  // longer than the limit in all
    PassSilently(limit_ms - 1000);
    words.TryPush(word);
    EXPECT_NE(client.ReadUntil(absl::StrCat(R"("content":")", word, "\"")).find(word), std::string::npos);
  }
  EXPECT_FALSE(left.HasBeenNotified());
  words.Close();
  PassSilently(limit_ms + 1);
  EXPECT_TRUE(left.WaitForNotificationWithTimeout(absl::Seconds(60)));
  const std::string end = client.ReadUntil("[DONE]");
  EXPECT_NE(end.find(R"("content":"!")"), std::string::npos) << end;
  EXPECT_EQ(end.find("error"), std::string::npos) << end;
}

// A stop of this process (SIGSTOP, a machine's pause) breaks its connections: no group has failed by that,
// and so none is avoided, and an answer survives any number of stops.
TEST_F(ChatDoorTest, AStopOfTheGatewayIsNoFailureOfItsGroups) {
  constexpr int kStops = Attempts::kMaxFailed + 1;
  std::atomic<int> blamed{0};
  BoundedQueue<bool> broken(kStops);
  backend_.readmit = [&](const v1::ReadmitRequest& request) {
    blamed += request.failed_group_id().empty() ? 0 : 1;
    return backend_.Elsewhere(1);
  };
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    if (request.attempt() <= kStops) {
      broken.Pop();
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "keepalive watchdog timeout");
    }
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)")));
  for (int stop = 0; stop < kStops; ++stop) {
    client.ReadUntil(R"("content":"a")");
    LetThemLook();
    clock_.AdvanceMs(4000);
    broken.TryPush(true);
  }
  const std::string end = client.ReadUntil("[DONE]");
  broken.Close();
  EXPECT_NE(end.find(R"("finish_reason":"length")"), std::string::npos) << end;
  EXPECT_EQ(end.find("error"), std::string::npos) << end;
  EXPECT_EQ(blamed, 0);
}

// Its handler is held up in a write while the attempt goes on, and ends.
class SlowReaderTest : public ChatDoorTest {
 protected:
  static constexpr int kTokens = 1400;

  void SetUp() override {
    options_.limits.send_buffer_bytes = 4096;
    options_.limits.queued_frames = 8;
    ChatDoorTest::SetUp();
  }
  // So much time passes at once while nobody looks; then the group is gone. Returns whom Readmit named.
  std::string BlamedAfter(int64_t ms) {
    Notification sent, gone;
    std::string blamed;
    backend_.readmit = [&](const v1::ReadmitRequest& request) {
      blamed = request.failed_group_id();
      return backend_.Elsewhere(2);
    };
    backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
      out.Accept();
      if (request.attempt() == 1) {
        out.Text(std::string(kTokens, 'x'));  // more than a client that does not read lets out
        sent.Notify();
        gone.WaitForNotification();
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "it died");
      }
      out.Finish(v1::FINISH_LENGTH);
      return grpc::Status::OK;
    };
    http::TestClient client(server_->port(), /*receive_buffer=*/4096);
    client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 1450)")));
    sent.WaitForNotification();
    client.ReadUntil(R"("content":"x")");
    LetThemLook();
    clock_.AdvanceMs(ms);
    gone.Notify();
    const std::string end = client.ReadUntil("[DONE]");
    EXPECT_NE(end.find(R"("finish_reason":"length")"), std::string::npos) << end;
    return blamed;
  }
};

TEST_F(SlowReaderTest, AWriteThatWaitsIsNoSleep) { EXPECT_EQ(BlamedAfter(1400), "g"); }

TEST_F(SlowReaderTest, ASleepDuringAWriteIsOne) { EXPECT_EQ(BlamedAfter(4000), ""); }

TEST_F(ChatDoorTest, WhoSleptJudgesNoSilence) {
  std::atomic<int> attempts{0};
  BoundedQueue<std::string> words(10);
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    ++attempts;
    out.Accept();
    while (const auto word = words.Pop()) out.Text(*word);
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)")));
  words.TryPush("a");
  client.ReadUntil(R"("content":"a")");
  clock_.AdvanceMs(services_.silence_limit.count() + 1000);
  LetThemLook();
  PassSilently(services_.silence_limit.count() - kBlinkMs);  // so long it has not been silent
  words.TryPush("b");
  words.Close();
  const std::string end = client.ReadUntil("[DONE]");
  EXPECT_NE(end.find(R"("content":"b")"), std::string::npos) << end;
  EXPECT_EQ(attempts, 1);
}

// A worker that has others' tokens to send, and none for this one yet, is well.
TEST_F(ChatDoorTest, AGroupThatSpeaksToOthersIsNotSilent) {
  std::atomic<int> attempts{0};
  Notification waits, over;
  BoundedQueue<std::string> words(10);
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    if (++attempts == 1) {
      out.Accept();
      waits.Notify();
      over.WaitForNotification();
    } else {
      out.Accept();
      while (const auto word = words.Pop()) out.Text(*word);
    }
    out.Text("!");
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient quiet(server_->port()), loud(server_->port());
  const std::string request = Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)"));
  quiet.Send(request);
  waits.WaitForNotification();
  loud.Send(request);
  for (const char* word : {"a", "b", "c"}) {
    PassSilently(services_.silence_limit.count() - 1000);
    words.TryPush(word);
    loud.ReadUntil(absl::StrCat(R"("content":")", word, "\""));
  }
  words.Close();
  loud.ReadUntil("[DONE]");  // its script, which uses what is here, has then ended
  over.Notify();
  EXPECT_NE(quiet.ReadUntil("[DONE]").find(R"("content":"!")"), std::string::npos);
  EXPECT_EQ(attempts, 2);
}

// Who reads nothing hears nothing. Text that waits for a grant stops the reading; then the worker is not to
// blame for the silence.
TEST_F(ChatDoorTest, AWorkerThatIsNotReadIsNotSilent) {
  constexpr uint64_t kGrant = 4, kHeld = 1024;
  std::atomic<bool> generous{false};
  std::atomic<int> attempts{0};
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    write(backend_.Grant(kGrant));
    return grpc::Status::OK;
  };
  backend_.progress = [&](const v1::RequestProgress& progress) {
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(generous ? progress.want_positions() : kGrant);
    return result;
  };
  Notification held;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    ++attempts;
    out.Accept();
    out.Text(std::string(kGrant + kHeld, 'x'));
    held.WaitForNotification();  // it is read on up to here, and no further than what is read ahead
    out.Text(std::string(WorkerClient::kReadAhead + 1, 'y'));
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "max_tokens": 1450, "stream": true)")));
  AwaitTokens(kGrant + kHeld);
  held.Notify();
  // Grants come in whole steps, of what was dealt with before too much was held.
  AwaitTokens((kGrant + kHeld) / WorkerClient::kGrantTokens * WorkerClient::kGrantTokens +
              WorkerClient::kReadAhead);
  PassSilently(services_.silence_limit.count() + kBlinkMs);
  generous = true;
  PassSilently(kBlinkMs);  // for the next Progress
  const std::string stream = client.ReadUntil("[DONE]");
  EXPECT_NE(stream.find(R"("content":"y")"), std::string::npos) << stream;
  EXPECT_EQ(stream.find("error"), std::string::npos) << stream;
  EXPECT_EQ(attempts, 1);
}

}  // namespace
}  // namespace quire::gateway
