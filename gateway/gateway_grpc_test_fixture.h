// For tests only: a gateway with quire.v1.Chat beside its HTTP API, and a client of it.
#pragma once

#include <grpcpp/grpcpp.h>

#include "gateway/gateway_test_fixture.h"
#include "proto/chat.grpc.pb.h"
#include "proto/rpc_error.pb.h"

namespace quire::gateway {

class GatewayGrpcTest : public GatewayTest {
 protected:
  explicit GatewayGrpcTest(const v1::TextBundle& bundle = testing::TinyBundle()) : GatewayTest(bundle) {}

  void SetUp() override {
    GatewayOptions options;
    options.grpc_port = 0;
    Start(options);
  }
  void Start(const GatewayOptions& options) {
    StartGateway(options);
    const std::string address = absl::StrCat("127.0.0.1:", gateway_->grpc_port());
    stub_ = v1::Chat::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  }

  static v1::ChatRequest Hello() {
    v1::ChatRequest request;
    request.set_model("tiny");
    request.set_max_tokens(40);
    v1::ChatMessage& message = *request.add_messages();
    message.set_role("user");
    message.set_content("hi");
    return request;
  }
  std::unique_ptr<grpc::ClientContext> Context(const std::string& key) const {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!key.empty()) context->AddMetadata("authorization", "Bearer " + key);
    return context;
  }
  grpc::Status Ask(const v1::ChatRequest& request, v1::ChatAnswer* answer) const {
    return stub_->Chat(Context(backend_.key()).get(), request, answer);
  }
  grpc::Status Refused(const v1::ChatRequest& request) const {
    v1::ChatAnswer answer;
    return Ask(request, &answer);
  }
  static rpc::ErrorInfo InfoOf(const grpc::Status& status) {
    rpc::Status details;
    rpc::ErrorInfo info;
    EXPECT_TRUE(details.ParseFromString(status.error_details()));
    EXPECT_EQ(details.code(), status.error_code());
    EXPECT_EQ(details.message(), status.error_message());
    EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
    EXPECT_TRUE(info.ParseFromString(details.details(0).value()));
    return info;
  }

  std::unique_ptr<v1::Chat::Stub> stub_;
};

}  // namespace quire::gateway
