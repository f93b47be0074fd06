// What the chat door asks of others, and in which order.
#include "gateway/api/chat/chat_door.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/http/test_gzip.h"
#include "gateway/api/chat/test_chat_door.h"

namespace quire::gateway {
namespace {

using testing::ScriptedBackend;
using testing::TokenWriter;

// 8 KB of gzip are 8 MB: no I/O thread inflates. So where the text threads take no work any more, a gzip
// body can't be read, though the same few bytes as they are can.
TEST_F(ChatDoorTest, OnlyTextThreadsInflate) {
  const std::string plain = Request(Body("unknown"));
  const std::string gzip = Request(http::Gzip(Body("unknown")), "content-encoding: gzip\r\n");
  EXPECT_EQ(CodeOf(Ask(plain)), "model_not_found");
  EXPECT_EQ(CodeOf(Ask(gzip)), "model_not_found");
  text_threads_.Stop();
  EXPECT_EQ(CodeOf(Ask(plain)), "model_not_found");
  const http::TestReply refused = Ask(gzip);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(CodeOf(refused), "no_capacity");
}

// A model of others is not looked at, whatever its state: one whose text is being loaded would be waited for
// (here for a day), one that can't be loaded has an answer of its own.
TEST_F(ChatDoorTest, AModelOfOthersIsNotLookedFor) {
  const http::TestReply unknown = Ask(Request(Body("unknown")));
  EXPECT_EQ(unknown.status, 404);
  TellModel("theirs", std::string(32, 'x'));  // nobody loads it yet
  ASSERT_EQ(catalog_.Find("theirs")->text, nullptr);
  const http::TestReply loading = Ask(Request(Body("theirs")));
  EXPECT_EQ(loading.status, 404);
  EXPECT_EQ(loading.body, unknown.body);
  LoadModels();
  ASSERT_TRUE(catalog_.Find("theirs")->failed) << "there are no such files";
  const http::TestReply broken = Ask(Request(Body("theirs")));
  EXPECT_EQ(broken.status, 404);
  EXPECT_EQ(broken.body, unknown.body);
}

// So long its restart may take. Who can't be admitted then is told so, and newcomers before they are read.
TEST_F(ChatDoorTest, ACoordinatorThatIsAwayIsWaitedForALittle) {
  std::atomic<int> asked{0};
  Notification waits;
  const auto over = std::make_shared<Notification>();
  backend_.admit = [&, over](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter&) {
    if (++asked == 1) waits.Notify();
    over->WaitForNotification();
    return grpc::Status::OK;
  };
  http::TestClient client(server_->port());
  client.Send(Request(Body("tiny")));
  waits.WaitForNotification();
  PassSilently(2 * services_.coordinator_patience.count());  // a queue is no absence
  for (int try_index = 0; try_index < 2; ++try_index) {
    facts_.BeginStream(clock_.NowUs());
    PassSilently(services_.coordinator_patience.count() / 2 - try_index * kBlinkMs);
    EXPECT_FALSE(client.HasReply());
  }
  PassSilently(kBlinkMs);
  const http::TestReply refused = http::TestReplies(client).Next(), newcomer = Ask(Request(Body("tiny")));
  over->Notify();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.Header("retry-after"), "1");
  EXPECT_EQ(newcomer.body, refused.body);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(CodeOf(refused), "service_unavailable");
}

// Tokens without text wait for nobody: they hold nothing up, however many come in a row.
TEST_F(ChatDoorTest, ManyTokensWithoutTextAreReadToTheEnd) {
  std::atomic<int> attempts{0};
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    ++attempts;
    out.Accept();
    for (int i = 0; i < 1400; ++i) out.Token(256);
    out.Text("ok");
    out.Finish(v1::FINISH_LENGTH);
    return grpc::Status::OK;
  };
  const http::TestReply reply = Ask(Request(Body("tiny", R"(, "max_tokens": 1450)")));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto answer = nlohmann::json::parse(reply.body);
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "ok");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 1402);
  EXPECT_EQ(attempts, 1);
}

}  // namespace
}  // namespace quire::gateway
