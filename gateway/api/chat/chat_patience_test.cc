// A request's patience, for its admission and for another group, is of the time awake: a sleep (the host's,
// or a stop of this process) is no part of it, so that waking refuses nobody. The sleeps here are shorter
// than what ends a stream by the ledger's R5.
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "base/core/bounded_queue.h"
#include "base/core/mutex.h"
#include "gateway/api/chat/test_chat_door.h"

namespace quire::gateway {
namespace {

using testing::ScriptedBackend;
using testing::TokenWriter;

class PatienceTest : public ChatDoorTest {
 protected:
  static constexpr int64_t kPatienceMs = 10'000, kSleepMs = 2 * kPatienceMs;

  PatienceTest() : ChatDoorTest(std::chrono::milliseconds(kPatienceMs)) {}

  // So little time at once that the answer is there before patience ends.
  std::string ReadAsTimePasses(http::TestClient& client) {
    std::atomic<bool> read{false};
    std::thread time([&] {
      while (!read) {
        clock_.AdvanceMs(1);
        LetThemLook();
      }
    });
    std::string answer = client.ReadUntil("[DONE]");
    read = true;
    time.join();
    return answer;
  }

  Notification asked_, slept_;
};

TEST_F(PatienceTest, ForAnotherGroupDoesNotCountASleep) {
  std::atomic<int> readmits{0};
  backend_.readmit = [&](const v1::ReadmitRequest&) {
    if (++readmits > 1) return backend_.Elsewhere(2);
    asked_.Notify();
    slept_.WaitForNotification();
    v1::ReadmitReply full;
    full.mutable_refusal()->set_reason(v1::REFUSAL_NO_CAPACITY);
    return full;
  };
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    if (request.attempt() == 1) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "it died");
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)")));
  asked_.WaitForNotification();
  clock_.AdvanceMs(kSleepMs);
  slept_.Notify();
  const std::string answer = ReadAsTimePasses(client);
  EXPECT_NE(answer.find(R"("finish_reason":"length")"), std::string::npos) << answer;
  EXPECT_EQ(answer.find("error"), std::string::npos) << answer;
  EXPECT_EQ(readmits, 2);
}

TEST_F(PatienceTest, ForAnAdmissionDoesNotCountASleep) {
  BoundedQueue<int64_t> waits(10);
  backend_.admit = [&](const v1::AdmitRequest& request, const ScriptedBackend::AdmitWriter& write) {
    waits.TryPush(request.max_wait_ms());
    if (!slept_.HasBeenNotified()) {
      asked_.Notify();
      slept_.WaitForNotification();
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the coordinator ends");
    }
    write(backend_.Placement());
    write(backend_.Grant(request.max_tokens()));
    return grpc::Status::OK;
  };
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny", R"(, "stream": true, "max_tokens": 40)")));
  asked_.WaitForNotification();
  clock_.AdvanceMs(kSleepMs);
  slept_.Notify();
  const std::string answer = ReadAsTimePasses(client);
  EXPECT_NE(answer.find(R"("finish_reason":"length")"), std::string::npos) << answer;
  EXPECT_GE(*waits.Pop(), kPatienceMs);
  EXPECT_GT(*waits.Pop(), kPatienceMs / 2) << "most of it is left";
}

}  // namespace
}  // namespace quire::gateway
