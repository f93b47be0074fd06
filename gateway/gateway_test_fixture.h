// For tests only: the whole gateway over real sockets, against a scripted coordinator and worker on real
// gRPC.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/core/mutex.h"
#include "base/http/test_client.h"
#include "gateway/gateway.h"
#include "gateway/generation/testing/scripted_backend.h"
#include "gateway/generation/testing/tiny_text.h"

namespace quire::gateway {

using nlohmann::json;
using testing::kTinyEos;
using testing::ScriptedBackend;
using testing::TokenWriter;

inline const grpc::Status kOk = grpc::Status::OK;

struct HttpAnswer {
  int status = 0;
  std::string head, body;
};

inline HttpAnswer Parse(const std::string& bytes) {
  HttpAnswer answer;
  const size_t split = bytes.find("\r\n\r\n");
  if (split == std::string::npos) return answer;
  answer.head = bytes.substr(0, split);
  answer.body = bytes.substr(split + 4);
  answer.status = std::stoi(answer.head.substr(9, 3));
  return answer;
}

// Looks until it holds; a failure where it never does.
template <typename Condition>
void AwaitTrue(const char* what, const Condition& holds) {
  for (const absl::Time end = absl::Now() + absl::Seconds(60); absl::Now() < end;) {
    if (holds()) return;
  }
  ADD_FAILURE() << "it never came: " << what;
}

// A stream's answer, taken apart.
struct Stream {
  std::string text, reasoning, finish_reason;
  json finish_details, usage;
  json tool_calls = json::array();  // put together
  int errors = 0, finishes = 0, dones = 0, roles = 0;
  json last_error;

  int terminals() const { return errors + finishes; }
};

inline void AddCallParts(const json& parts, json& calls) {
  for (const json& part : parts) {
    const auto index = part["index"].get<size_t>();
    EXPECT_EQ(index + (part.contains("id") ? 0 : 1), calls.size()) << part;
    if (part.contains("id")) {
      calls.push_back({{"id", part["id"]}, {"type", part["type"]}, {"function", part["function"]}});
      continue;
    }
    auto& arguments = calls.back()["function"]["arguments"].get_ref<std::string&>();
    arguments += part["function"]["arguments"].get<std::string>();
  }
}

inline Stream ParseStream(const std::string& body) {
  Stream stream;
  for (size_t start = 0, end; (end = body.find("\n\n", start)) != std::string::npos; start = end + 2) {
    std::string line = body.substr(start, end - start);
    while (line.rfind(":", 0) == 0 && line.find('\n') != std::string::npos) {
      line.erase(0, line.find('\n') + 1);  // a comment: no event of its own
    }
    if (line == "data: [DONE]") ++stream.dones;
    if (line.rfind("data: {", 0) != 0) continue;
    const json event = json::parse(line.substr(6));
    EXPECT_EQ(stream.dones, 0) << "an event after [DONE]";
    if (event.contains("usage") && !event["usage"].is_null()) stream.usage = event["usage"];
    if (event.contains("error")) {
      ++stream.errors;
      stream.last_error = event["error"];
      continue;
    }
    if (event["choices"].empty()) continue;
    const json& choice = event["choices"][0];
    EXPECT_EQ(stream.terminals(), 0) << "an event after the terminal one";
    if (choice["delta"].contains("role")) ++stream.roles;
    if (choice["delta"].contains("content")) stream.text += choice["delta"]["content"];
    if (choice["delta"].contains("reasoning_content"))
      stream.reasoning += choice["delta"]["reasoning_content"];
    AddCallParts(choice["delta"].value("tool_calls", json::array()), stream.tool_calls);
    if (!choice["finish_reason"].is_null()) {
      ++stream.finishes;
      stream.finish_reason = choice["finish_reason"];
      stream.finish_details = choice.value("finish_details", json());
    }
  }
  return stream;
}

class GatewayTest : public ::testing::Test {
 protected:
  explicit GatewayTest(const v1::TextBundle& bundle = testing::TinyBundle()) : backend_(bundle) {}

  void StartGateway(GatewayOptions options = GatewayOptions()) {
    options.coordinator = backend_.address();
    options.pepper = backend_.pepper();
    auto started = Gateway::Start(options);
    ASSERT_TRUE(started.ok()) << started.status();
    gateway_ = *std::move(started);
    Notification ready;
    gateway_->WhenReady([&] { ready.Notify(); });
    ASSERT_TRUE(ready.WaitForNotificationWithTimeout(absl::Seconds(30)));
  }
  void SetUp() override { StartGateway(); }

  std::string Request(const std::string& method, const std::string& path, const std::string& body,
                      const std::string& key) const {
    return absl::StrCat(method, " ", path, " HTTP/1.0\r\nhost: x\r\nauthorization: Bearer ", key,
                        "\r\ncontent-type: application/json\r\ncontent-length: ", body.size(), "\r\n\r\n",
                        body);
  }
  std::string ChatBody(const std::string& fields) const {
    return absl::StrCat(
        R"({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 40)",
        fields.empty() ? "" : ", ", fields, "}");
  }
  HttpAnswer Call(const std::string& request) const {
    http::TestClient client(gateway_->api_port());
    client.Send(request);
    return Parse(client.ReadToEnd());
  }
  HttpAnswer Chat(const std::string& fields) const {
    return Call(Request("POST", "/v1/chat/completions", ChatBody(fields), backend_.key()));
  }
  Stream ChatStream(const std::string& fields = "") const {
    const HttpAnswer answer = Chat(absl::StrCat("\"stream\": true", fields.empty() ? "" : ", ", fields));
    EXPECT_EQ(answer.status, 200) << answer.body;
    const Stream stream = ParseStream(answer.body);
    EXPECT_EQ(stream.terminals(), 1) << answer.body;
    EXPECT_EQ(stream.dones, 1) << answer.body;
    return stream;
  }
  int Ready() const {
    http::TestClient client(gateway_->metrics_port());
    client.Send("GET /readyz HTTP/1.0\r\n\r\n");
    return Parse(client.ReadToEnd()).status;
  }
  std::string Metrics() const {
    http::TestClient client(gateway_->metrics_port());
    client.Send("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    return client.ReadToEnd();
  }

  // Sends a text, the end token, and the end.
  void AnswerWith(const std::string& text) {
    backend_.generate = [text](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept(3);
      out.Text(text);
      out.Token(kTinyEos);
      out.Finish(v1::FINISH_STOP);
      return kOk;
    };
  }

  ScriptedBackend backend_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace quire::gateway
