// gRPC set-up over real sockets: who may connect to what, and what a wrong set-up says. Certificates are made
// for the test with the openssl program.
#include "base/net/grpc.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

// gRPC starts no server without a service of one's own: this one has a method that nobody calls.
class IdleService : public grpc::Service {
 public:
  IdleService() {
    using Handler = grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>;
    const auto answer = [](grpc::CallbackServerContext* context, const grpc::ByteBuffer*, grpc::ByteBuffer*) {
      grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    };
    // Both are taken over by the base class.
    AddMethod(new grpc::internal::RpcServiceMethod("/quire.test.Idle/Call",
                                                   grpc::internal::RpcMethod::NORMAL_RPC, nullptr));
    MarkMethodCallback(0, new Handler(answer));
  }
};

// A server together with its service, which has to outlive it.
struct RunningServer {
  std::unique_ptr<IdleService> service = std::make_unique<IdleService>();
  GrpcServer grpc;
};

absl::StatusOr<RunningServer> Start(const GrpcServerOptions& options) {
  RunningServer running;
  QUIRE_ASSIGN_OR_RETURN(running.grpc, StartGrpcServer(options, {running.service.get()}));
  return running;
}

// Calls the standard health service with an empty request ("the whole server").
grpc::Status CallHealth(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  const grpc::Slice nothing("", 0);
  const grpc::ByteBuffer request(&nothing, 1);
  grpc::ByteBuffer reply;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request, &reply,
                 [&](grpc::Status status) { done.set_value(status); });
  return done.get_future().get();
}

grpc::Status CallHealth(int port, const TlsFiles& tls) {
  const auto channel = MakeGrpcChannel(absl::StrCat("127.0.0.1:", port), tls);
  EXPECT_TRUE(channel.ok()) << channel.status();
  return CallHealth(*channel);
}

TEST(GrpcTest, PlaintextWorksOnLoopback) {
  const auto server = Start({});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(CallHealth(server->grpc.port, {}).ok());
}

TEST(GrpcTest, ServesOnAnIpv6Address) {
  for (const char* host : {"::1", "[::1]"}) {
    GrpcServerOptions options;
    options.host = host;
    const auto server = Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    const auto channel = MakeGrpcChannel(absl::StrCat("[::1]:", server->grpc.port), {});
    ASSERT_TRUE(channel.ok()) << channel.status();
    EXPECT_TRUE(CallHealth(*channel).ok());
  }
}

TEST(GrpcTest, RefusesPlaintextOffLoopbackUnlessTold) {
  GrpcServerOptions options;
  options.host = "0.0.0.0";
  const auto refused = Start(options);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("--insecure"));
  options.insecure = true;
  EXPECT_TRUE(Start(options).ok());
}

TEST(GrpcTest, NobodyElsewhereIsToldASecretInTheClear) {
  const auto check = [](const std::string& address, const TlsFiles& tls, bool insecure) {
    return CheckDial("the coordinator", address, tls, insecure);
  };
  EXPECT_TRUE(check("127.0.0.1:7000", {}, false).ok());
  EXPECT_TRUE(check("[::1]:7000", {}, false).ok());
  EXPECT_TRUE(check("10.0.0.9:7000", {}, /*insecure=*/true).ok());
  EXPECT_TRUE(check("10.0.0.9:7000", {"cert", "key", "ca"}, false).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(check("10.0.0.9:7000", {"cert", "", ""}, false)));
  for (const char* elsewhere :
       {"10.0.0.9:7000", "coordinator:7000", "127.0.0.1.example.com:7000", "[2001:db8::1]:7000"}) {
    const absl::Status refused = check(elsewhere, {}, false);
    EXPECT_TRUE(absl::IsFailedPrecondition(refused));
    EXPECT_THAT(std::string(refused.message()), HasSubstr(elsewhere));
  }
}

TEST(GrpcTest, SaysThatAPortIsTaken) {
  const auto first = Start({});
  ASSERT_TRUE(first.ok()) << first.status();
  GrpcServerOptions options;
  options.port = first->grpc.port;
  const auto second = Start(options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("taken"));
}

TEST(GrpcTest, StatusKeepsCodeAndMessage) {
  const absl::Status status = absl::ResourceExhaustedError("the queue is full");
  EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
  EXPECT_EQ(FromGrpc(ToGrpc(absl::OkStatus())), absl::OkStatus());
}

class MutualTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "quire_tls_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    std::ofstream(folder_ / "names") << "subjectAltName=IP:127.0.0.1,DNS:localhost\n";
    ours_ = MakeAuthority("ours");
    others_ = MakeAuthority("others");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // An authority and a certificate that it signed.
  TlsFiles MakeAuthority(const std::string& name) {
    const std::string new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    Run(absl::StrCat("req -x509 ", new_key, " -subj /CN=", name, "-ca -days 2 -keyout ", name,
                     "-ca.key -out ", name, "-ca.pem"));
    Run(absl::StrCat("req -new ", new_key, " -subj /CN=", name, " -keyout ", name, ".key -out ", name,
                     ".csr"));
    Run(absl::StrCat("x509 -req -days 2 -extfile names -CAcreateserial -CA ", name, "-ca.pem -CAkey ", name,
                     "-ca.key -in ", name, ".csr -out ", name, ".pem"));
    TlsFiles files;
    files.cert = folder_ / (name + ".pem");
    files.key = folder_ / (name + ".key");
    files.ca = folder_ / (name + "-ca.pem");
    return files;
  }

  void Run(const std::string& arguments) {
    const std::string command =
        absl::StrCat("cd ", folder_.string(), " && openssl ", arguments, " 2>openssl.log");
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }

  std::filesystem::path folder_;
  TlsFiles ours_, others_;
};

// gRPC ends the process at the call that would show it.
TEST(GrpcTest, ASecretThatNoHeaderMayHoldIsRefusedBeforeAnyCall) {
  for (const char* value : {"abc\n", "a\rb", "\xff", "\x7f"}) {
    const auto refused = MakeGrpcChannel("127.0.0.1:1", {}, {"quire-secret", value});
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << value;
  }
  EXPECT_TRUE(MakeGrpcChannel("127.0.0.1:1", {}, {"quire-secret", "a b~"}).ok());
}

TEST_F(MutualTlsTest, OnlyPeersOfTheSameAuthorityGetIn) {
  GrpcServerOptions options;
  options.host = "0.0.0.0";  // allowed: it has TLS
  options.tls = ours_;
  const auto server = Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(CallHealth(server->grpc.port, ours_).ok());
  EXPECT_FALSE(CallHealth(server->grpc.port, {}).ok()) << "plaintext";
  EXPECT_FALSE(CallHealth(server->grpc.port, others_).ok()) << "trusts another authority";
  TlsFiles stranger = others_;
  stranger.ca = ours_.ca;
  EXPECT_FALSE(CallHealth(server->grpc.port, stranger).ok()) << "signed by another authority";
}

TEST_F(MutualTlsTest, SaysWhichFileIsMissing) {
  GrpcServerOptions options;
  options.tls = ours_;
  options.tls.key = folder_ / "absent.key";
  EXPECT_THAT(std::string(Start(options).status().message()), HasSubstr("absent.key"));
  options.tls.key = "";
  EXPECT_THAT(std::string(Start(options).status().message()), HasSubstr("--tls-key"));
  EXPECT_THAT(std::string(MakeGrpcChannel("127.0.0.1:1", options.tls).status().message()),
              HasSubstr("--tls-key"));
}

}  // namespace
}  // namespace quire
