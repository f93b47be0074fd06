// For tests only: a server on any port of loopback, and what is asked of it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/core/bounded_queue.h"
#include "base/http/error_body.h"
#include "base/http/exchange.h"
#include "base/http/server.h"
#include "base/http/test_replies.h"

namespace quire::http {

class HttpTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.on_request = [this](const RequestRecord& record) { records_.TryPush(RequestRecord(record)); };
  }

  void Start() {
    auto server = Server::Start(options_, std::move(routes_), metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  static std::string Request(const std::string& method, const std::string& path,
                             const std::string& headers = "") {
    return method + " " + path + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n";
  }
  // On a connection of its own.
  TestReply Call(const std::string& request, bool to_head = false) {
    TestClient client(server_->port());
    client.Send(request);
    return TestReplies(client).Next(to_head);
  }
  // The server learns of a close in its own time; a later connection is served again.
  void ExpectServedAgain(const std::string& path) {
    int status = 503;
    while (status == 503) status = Call(Request("GET", path, "Connection: close\r\n")).status;
    EXPECT_EQ(status, 200);
  }
  // The next request that ended; waits for it.
  RequestRecord NextRecord() { return *records_.Pop(); }

  HttpServerOptions options_;
  RouteTable routes_;
  Metrics metrics_;
  BoundedQueue<RequestRecord> records_{1000};
  std::unique_ptr<Server> server_;  // last: its threads use the rest
};

}  // namespace quire::http
