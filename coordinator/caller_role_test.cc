// Which certificate may call what, over real TLS. The certificates are made for the test with the openssl
// program.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/net/grpc.h"
#include "coordinator/coordinator.h"
#include "proto/coordinator.grpc.pb.h"

namespace quire::coordinator {
namespace {

using ::testing::HasSubstr;

class CallerRoleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/quire_roles_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    Run(absl::StrCat("req -x509 ", kNewKey, " -subj /CN=ca -days 2 -keyout ca.key -out ca.pem"));
    CoordinatorConfig config;
    config.data = folder_ / "data";
    config.admin_port = 0;
    config.worker.groups = 0;
    config.tls = Certificate("coordinator", "DNS:quire-coordinator");
    auto started = Coordinator::Start(config);
    ASSERT_TRUE(started.ok()) << started.status();
    coordinator_ = *std::move(started);
  }
  void TearDown() override {
    coordinator_.reset();
    std::filesystem::remove_all(folder_);
  }

  // Signed by our authority, for 127.0.0.1 and these names besides.
  TlsFiles Certificate(const std::string& name, const std::string& dns_names,
                       const std::string& common = "x") {
    std::ofstream(folder_ / (name + ".ext"))
        << "subjectAltName=IP:127.0.0.1" << (dns_names.empty() ? "" : ",") << dns_names << "\n";
    Run(absl::StrCat("req -new ", kNewKey, " -subj /CN=", common, " -keyout ", name, ".key -out ", name,
                     ".csr"));
    Run(absl::StrCat("x509 -req -days 2 -extfile ", name,
                     ".ext -CAcreateserial -CA ca.pem -CAkey ca.key -in ", name, ".csr -out ", name, ".pem"));
    TlsFiles files;
    files.cert = folder_ / (name + ".pem");
    files.key = folder_ / (name + ".key");
    files.ca = folder_ / "ca.pem";
    return files;
  }
  void Run(const std::string& arguments) {
    const std::string command =
        absl::StrCat("cd ", folder_.string(), " && openssl ", arguments, " 2>openssl.log");
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }

  // The RPCs that are denied to a caller with these files; a stream that starts is not.
  std::set<std::string> Denied(const TlsFiles& tls, const ShownSecret& secret = {}) {
    const auto stub = v1::Coordinator::NewStub(*MakeGrpcChannel(coordinator_->grpc_address(), tls, secret));
    std::set<std::string> denied;
    const auto call = [&](const char* name, auto run) {
      grpc::ClientContext context;
      const grpc::Status status = run(&context);
      if (status.error_code() != grpc::StatusCode::PERMISSION_DENIED) return;
      denied.insert(name);
      message_ = status.error_message();
    };
    v1::SettleReply settled;
    v1::ProgressReply progressed;
    v1::ReadmitReply readmitted;
    v1::HeartbeatReply known;
    call("Settle", [&](auto* context) { return stub->Settle(context, {}, &settled); });
    call("Progress", [&](auto* context) { return stub->Progress(context, {}, &progressed); });
    call("Readmit", [&](auto* context) { return stub->Readmit(context, {}, &readmitted); });
    call("Heartbeat", [&](auto* context) { return stub->Heartbeat(context, {}, &known); });
    call("Admit", [&](auto* context) { return stub->Admit(context, {})->Finish(); });
    call("GetTextBundle", [&](auto* context) { return stub->GetTextBundle(context, {})->Finish(); });
    call("Watch", [&](auto* context) {
      const auto stream = stub->Watch(context, {});
      v1::WatchEvent event;
      if (stream->Read(&event)) context->TryCancel();
      return stream->Finish();
    });
    call("Register", [&](auto* context) {
      const auto stream = stub->Register(context);
      stream->WritesDone();
      return stream->Finish();
    });
    return denied;
  }

  static constexpr const char* kNewKey = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
  std::filesystem::path folder_;
  std::string message_;
  std::unique_ptr<Coordinator> coordinator_;
};

const std::set<std::string> kOfGateways = {"Admit",  "Progress", "Readmit",
                                           "Settle", "Watch",    "GetTextBundle"};
const std::set<std::string> kOfWorkers = {"Register", "Heartbeat"};

TEST_F(CallerRoleTest, AGatewayAndAWorkerMayDoTheirOwnOnly) {
  EXPECT_EQ(Denied(Certificate("gateway", "DNS:quire-gateway")), kOfWorkers);
  EXPECT_THAT(message_, HasSubstr("quire-worker"));
  EXPECT_EQ(Denied(Certificate("worker", "DNS:quire-worker")), kOfGateways);
  EXPECT_THAT(message_, HasSubstr("quire-gateway"));
}

TEST_F(CallerRoleTest, ARoleIsAWholeNameOrItsFirstPart) {
  EXPECT_EQ(Denied(Certificate("pod", "DNS:quire-worker.pod-3.svc")), kOfGateways);
  EXPECT_EQ(Denied(Certificate("common", "", "quire-gateway")), kOfWorkers);
  EXPECT_EQ(Denied(Certificate("both", "DNS:quire-gateway,DNS:quire-worker")), std::set<std::string>());
  std::set<std::string> all = kOfGateways;
  all.insert(kOfWorkers.begin(), kOfWorkers.end());
  EXPECT_EQ(Denied(Certificate("none", "DNS:quire-workers,DNS:my.quire-gateway")), all);
  EXPECT_EQ(Denied(Certificate("server", "DNS:quire-coordinator")), all);
}

// It would hash every key to another digest, and know nobody.
TEST_F(CallerRoleTest, AGatewayWithAnotherPepperIsDeniedUnderTlsToo) {
  const TlsFiles gateway = Certificate("gateway", "DNS:quire-gateway");
  std::set<std::string> all = kOfGateways;
  all.insert(kOfWorkers.begin(), kOfWorkers.end());
  EXPECT_EQ(Denied(gateway, GatewaySecret("another pepper")), all);
  const absl::StatusOr<std::string> pepper = ReadWholeFile(folder_ / "data/pepper");
  ASSERT_TRUE(pepper.ok());
  EXPECT_EQ(Denied(gateway, GatewaySecret(*pepper)), kOfWorkers);
  EXPECT_EQ(Denied(Certificate("none", ""), GatewaySecret(*pepper)), all) << "the pepper is no role";
}

TEST_F(CallerRoleTest, APepperThatIsNotTheCoordinatorsIsNamed) {
  const auto stub = v1::Coordinator::NewStub(*MakeGrpcChannel(
      coordinator_->grpc_address(), Certificate("gateway", "DNS:quire-gateway"), GatewaySecret("other")));
  grpc::ClientContext context;
  v1::SettleReply settled;
  EXPECT_THAT(stub->Settle(&context, {}, &settled).error_message(), HasSubstr("--pepper-file"));
}

}  // namespace
}  // namespace quire::coordinator
