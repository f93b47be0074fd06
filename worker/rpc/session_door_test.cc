// Who may open a session with a group, and how many there may be.
#include <gmock/gmock.h>

#include "worker/parallel/tcp/test_tls.h"
#include "worker/rpc/testing/scripted_group.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

// One request in a session that shows this.
grpc::Status Try(const ScriptedGroup& group, const TlsFiles& tls, const ShownSecret& secret) {
  const auto stub = v1::Inference::NewStub(*MakeGrpcChannel(group.address(), tls, secret));
  return OpenCall(stub.get(), TestRequest(5, 3)).ReadToEnd().status;
}

// Registers whoever comes, once it may.
class Registrar final : public v1::Coordinator::Service {
 public:
  explicit Registrar(std::string session_secret) : session_secret_(std::move(session_secret)) {
    auto started = StartGrpcServer({}, {this});
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  ~Registrar() override { server_.server->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status Register(grpc::ServerContext*,
                        grpc::ServerReaderWriter<v1::RegisterReply, v1::RegisterRequest>* stream) override {
    v1::RegisterRequest request;
    stream->Read(&request);
    open.WaitForNotification();
    v1::RegisterReply reply;
    reply.mutable_accepted()->set_heartbeat_ms(50);
    reply.mutable_accepted()->set_session_secret(session_secret_);
    stream->Write(reply);
    stream->Read(&request);  // until the group ends it
    return grpc::Status::OK;
  }
  grpc::Status Heartbeat(grpc::ServerContext*, const v1::HeartbeatRequest*,
                         v1::HeartbeatReply* reply) override {
    if (!registered.HasBeenNotified()) registered.Notify();  // beats come one after another
    reply->set_known(true);
    return grpc::Status::OK;
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", server_.port); }

  Notification open, registered;

 private:
  const std::string session_secret_;
  GrpcServer server_;
};

TEST(SessionDoor, WithoutTlsOnlyGatewaysOfItsCoordinatorAreServed) {
  const ShownSecret ours = SessionSecret("pepper");
  Registrar coordinator(ours.value);
  ScriptedGroup group({.coordinator = coordinator.address()});
  EXPECT_EQ(Try(group, {}, ours).error_code(), grpc::ABORTED) << "it doesn't know yet what they show";
  coordinator.open.Notify();
  coordinator.registered.WaitForNotification();
  for (const ShownSecret& secret : {ShownSecret(), SessionSecret("another"), GatewaySecret("pepper"),
                                    ShownSecret{kSessionSecretKey, ""}}) {
    const grpc::Status denied = Try(group, {}, secret);
    EXPECT_EQ(denied.error_code(), grpc::PERMISSION_DENIED) << denied.error_message();
    EXPECT_THAT(denied.error_message(), HasSubstr("--pepper-file"));
  }
  const grpc::Status served = Try(group, {}, ours);
  EXPECT_TRUE(served.ok()) << served.error_message();
}

// One that was not built to say what gateways show, or none at all.
TEST(SessionDoor, WhereNoCoordinatorSaysWhatGatewaysShowAnyoneIsServed) {
  Registrar older("");
  older.open.Notify();
  ScriptedGroup group({.coordinator = older.address()}), alone;
  older.registered.WaitForNotification();
  EXPECT_TRUE(Try(group, {}, {}).ok());
  EXPECT_TRUE(Try(group, {}, SessionSecret("pepper")).ok());
  EXPECT_TRUE(Try(alone, {}, {}).ok());
}

TlsFiles Files(const LinkTlsFiles& files) { return {files.cert, files.key, files.ca}; }

TEST(SessionDoor, WithTlsTheCertificateMustNameAGateway) {
  const TestCertificates& certificates = TestCertificates::Get();
  ScriptedGroup group({.tls = Files(certificates.worker)});
  const grpc::Status denied = Try(group, Files(certificates.worker), {});
  EXPECT_EQ(denied.error_code(), grpc::PERMISSION_DENIED) << denied.error_message();
  EXPECT_THAT(denied.error_message(), HasSubstr("certificate for the role quire-gateway"));
  const grpc::Status served = Try(group, Files(certificates.gateway), {});
  EXPECT_TRUE(served.ok()) << served.error_message();
}

// Open as soon as the group has answered on it.
std::unique_ptr<TestSession> OpenForSure(ScriptedGroup& group) {
  auto session = group.OpenSession();
  session->Submit(1, v1::GenerateRequest());
  EXPECT_TRUE(session->ReadToEnd(1).ended);
  return session;
}

TEST(SessionDoor, TakesSoManySessionsAndSaysWhatToDo) {
  for (const int64_t sequences : {1, 50}) {
    ScriptedGroup group({.max_sequences = sequences, .waiting_room = 5});
    const size_t most = sequences == 1 ? 64 : 110;
    std::vector<std::unique_ptr<TestSession>> sessions;
    while (sessions.size() < most) sessions.push_back(OpenForSure(group));
    const grpc::Status refused = group.Generate(TestRequest(5, 3)).status;
    EXPECT_EQ(refused.error_code(), grpc::RESOURCE_EXHAUSTED) << refused.error_message();
    EXPECT_THAT(refused.error_message(), HasSubstr("send all requests over one"));
    sessions.back()->CloseSending();
    EXPECT_TRUE(sessions.back()->End().ok());
    sessions.pop_back();
    // The group forgets it a moment after it said so.
    grpc::Status again = refused;
    while (again.error_code() == grpc::RESOURCE_EXHAUSTED) again = group.Generate(TestRequest(5, 3)).status;
    EXPECT_TRUE(again.ok()) << again.error_message();
  }
}

}  // namespace
}  // namespace quire::worker
