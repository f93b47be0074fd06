// For tests only: the replies of one connection taken apart by their framing, one after the other, so that a
// body too many or too few shows.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/http/test_client.h"

namespace quire::http {

struct TestReply {
  int status = 0;  // 0: the connection ended before a whole reply had come
  std::string head, body;

  // The value of the first header of that (lower-case) name; empty where there is none.
  std::string Header(const std::string& name) const {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const size_t value = at + name.size() + 4;
    return head.substr(value, head.find("\r\n", value) - value);
  }
};

class TestReplies {
 public:
  explicit TestReplies(TestClient& client) : client_(client) {}

  // `to_head`: the request was a HEAD, whose reply ends with its head.
  TestReply Next(bool to_head = false) {
    TestReply reply;
    const size_t end = Fill("\r\n\r\n");
    if (end == std::string::npos) return reply;
    reply.head = bytes_.substr(0, end + 2);
    bytes_.erase(0, end + 4);
    const size_t length = static_cast<size_t>(std::atoi(reply.Header("content-length").c_str()));
    if (!to_head && !FillTo(length)) return reply;
    if (!to_head) reply.body = bytes_.substr(0, length);
    bytes_.erase(0, reply.body.size());
    reply.status = std::atoi(reply.head.substr(9, 3).c_str());
    return reply;
  }
  // What came beyond the replies taken so far, up to the connection's end.
  std::string Rest() { return std::exchange(bytes_, "") + client_.ReadToEnd(); }

 private:
  size_t Fill(std::string_view marker) {
    while (bytes_.find(marker) == std::string::npos && More()) {
    }
    return bytes_.find(marker);
  }
  bool FillTo(size_t count) {
    while (bytes_.size() < count && More()) {
    }
    return bytes_.size() >= count;
  }
  bool More() {
    const std::string more = client_.ReadSome();
    bytes_ += more;
    return !more.empty();
  }

  TestClient& client_;
  std::string bytes_;
};

}  // namespace quire::http
