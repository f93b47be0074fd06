// Raw sockets for the HTTP tests: bytes out, bytes in, nothing understood. Blocking, with a long safety
// timeout.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/core/fd.h"

namespace quire::http {

class TestClient {
 public:
  // `receive_buffer` bounds what the kernel takes on behalf of a client that never reads (0 = its default).
  explicit TestClient(int port, int receive_buffer = 0) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0)
      setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const timeval patience{60, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return connected_; }
  int descriptor() const { return fd_.get(); }
  // Something, or the end, has arrived and not been read.
  bool HasReply() const {
    char byte;
    return recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
  }

  // Sends what the server takes: it may close in the middle.
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(sent);
    }
  }

  // Reads until `marker` has come (all of what came is returned) or the connection ended.
  std::string ReadUntil(std::string_view marker) {
    while (received_.find(marker) == std::string::npos && Receive()) {
    }
    return std::exchange(received_, "");
  }
  // What comes next, in whatever pieces; empty at the end.
  std::string ReadSome() {
    if (received_.empty()) Receive();
    return std::exchange(received_, "");
  }
  std::string ReadToEnd() {
    while (Receive()) {
    }
    return std::exchange(received_, "");
  }
  // After ReadToEnd: whether the server closed (rather than the safety timeout passing).
  bool closed_by_server() const { return closed_by_server_; }

  void HalfClose() { shutdown(fd_.get(), SHUT_WR); }
  void Reset() {
    const linger now{1, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    Close();
  }
  void Close() { fd_.Close(); }

 private:
  bool Receive() {
    char bytes[16384];
    const ssize_t count = recv(fd_.get(), bytes, sizeof bytes, 0);
    if (count > 0) received_.append(bytes, count);
    closed_by_server_ = count == 0 || (count < 0 && errno == ECONNRESET);
    return count > 0;
  }

  Fd fd_;
  bool connected_ = false, closed_by_server_ = false;
  std::string received_;
};

}  // namespace quire::http
