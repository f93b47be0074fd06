// What the coordinator's tests say to it: a worker group and a gateway over real channels, an operator over
// real HTTP. Tests only; blocking calls, one thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/core/ids.h"
#include "proto/coordinator.grpc.pb.h"

namespace quire::coordinator {

// The text bundle of every test group.
std::string TestBundle();

class TestGroup {
 public:
  TestGroup(const std::string& coordinator, const std::string& id, uint64_t epoch, uint64_t kv_blocks = 100);

  ~TestGroup();

  // Goes through Register until it is accepted or refused; then the stream stays open.
  grpc::Status Register(const std::string& bundle = TestBundle());
  bool was_asked_for_bundle() const { return asked_for_bundle_; }
  // True if the coordinator knows the group. Without a beat it serves until the coordinator's clock moves.
  bool Beat(bool healthy = true);
  void Leave();  // ends the stream, as a dead worker does

  v1::GroupInfo info;
  std::string secret;          // shown with every call
  std::string session_secret;  // as the coordinator said when it registered

 private:
  std::unique_ptr<v1::Coordinator::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::RegisterRequest, v1::RegisterReply>> stream_;
  bool asked_for_bundle_ = false, registered_ = false;
};

struct Admitted {
  std::optional<v1::Placement> placement;
  std::optional<v1::Grant> grant;
  std::optional<v1::Refusal> refusal;
  std::vector<std::string> order;  // of what came
  grpc::Status status;
};

class TestGateway {
 public:
  TestGateway(const std::string& coordinator, const std::string& pepper);

  v1::AdmitRequest Request(const RequestId& id, const std::string& key_id) const;
  Admitted Admit(const v1::AdmitRequest& request);
  Admitted Admit(const RequestId& id, const std::string& key_id) { return Admit(Request(id, key_id)); }
  v1::ProgressResult Progress(const RequestId& id, uint64_t delivered, uint64_t want,
                              const std::string& group = "", uint64_t epoch = 0);
  int64_t Settle(const RequestId& id, uint64_t delivered);  // the amount
  v1::ReadmitReply Readmit(const v1::ReadmitRequest& request);
  absl::StatusOr<std::string> FetchBundle(const std::string& digest);
  v1::Coordinator::Stub& stub() { return *stub_; }

 private:
  std::unique_ptr<v1::Coordinator::Stub> stub_;
};

// A Watch stream, read event by event.
class TestWatch {
 public:
  explicit TestWatch(TestGateway& gateway);
  ~TestWatch();
  v1::WatchEvent Next();
  std::vector<v1::WatchEvent> UntilSynced();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchEvent>> stream_;
};

struct AdminAnswer {
  int status = 0;
  std::string head, text;
  nlohmann::json body;
};

class TestOperator {
 public:
  TestOperator(std::string admin, std::string key) : admin_(std::move(admin)), key_(std::move(key)) {}
  AdminAnswer Call(const std::string& method, const std::string& path, const std::string& body = "") const;

 private:
  const std::string admin_, key_;
};

}  // namespace quire::coordinator
