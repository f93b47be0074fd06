// What a model whose text files are being loaded takes from the others, and from its gateway: nothing.
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

// A second bundle, which its coordinator holds back.
class HeldBundleTest : public GatewayTest {
 protected:
  void SetUp() override {
    v1::TextBundle bundle = testing::TinyBundle();
    v1::TextFile& file = *bundle.add_files();  // so that it is another bundle
    file.set_name("notes.txt");
    file.set_content("notes");
    backend_.other_bundle = bundle.SerializeAsString();
    backend_.before_other_bundle = [this] {
      asked_.Notify();
      released_.WaitForNotification();
    };
    AnswerWith("Hello");
  }
  void TearDown() override {
    if (!released_.HasBeenNotified()) released_.Notify();
    gateway_.reset();
  }
  // With one model, whose files are there.
  void StartWithTiny() {
    backend_.other_hidden = true;
    StartGateway();
  }

  std::string Listed() const {
    std::string names;
    const json list = json::parse(Call(Request("GET", "/v1/models", "", backend_.key())).body);
    for (const json& model : list["data"]) names += std::string(model["id"]) + " ";
    return names;
  }

  Notification asked_, released_;
};

TEST_F(HeldBundleTest, ANewModelMakesNoGatewayUnready) {
  StartWithTiny();
  ASSERT_EQ(Ready(), 200);
  backend_.other_hidden = false;
  asked_.WaitForNotification();
  EXPECT_EQ(Ready(), 200);
  EXPECT_EQ(Listed(), "tiny ");
  EXPECT_EQ(Chat("").status, 200);
  released_.Notify();
  AwaitTrue("the new model", [this] { return Listed() == "other tiny "; });
  EXPECT_EQ(Ready(), 200);
}

// Whoever asks for it meanwhile waits, at whatever gateway.
TEST_F(HeldBundleTest, NewFilesOfAllModelsMakeNoGatewayUnready) {
  StartWithTiny();
  backend_.tiny_changed = true;
  backend_.other_hidden = false;
  asked_.WaitForNotification();
  AwaitTrue("the news", [this] { return Listed().empty(); });
  EXPECT_EQ(Ready(), 200);
  http::TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody(""), backend_.key()));
  released_.Notify();
  EXPECT_EQ(Parse(client.ReadToEnd()).status, 200);
}

// It comes first in the order of names.
TEST_F(HeldBundleTest, ASlowBundleHoldsUpNoOther) {
  GatewayOptions options;
  options.coordinator = backend_.address();
  options.pepper = backend_.pepper();
  auto started = Gateway::Start(options);
  ASSERT_TRUE(started.ok()) << started.status();
  gateway_ = *std::move(started);
  asked_.WaitForNotification();
  const HttpAnswer answer = Chat("");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(Listed(), "tiny ");
  EXPECT_EQ(Ready(), 503) << "a gateway that starts loads all that there is first";
}

}  // namespace
}  // namespace quire::gateway
