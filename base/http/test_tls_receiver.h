// For tests only: a server of HTTPS on a loopback address with a certificate of its own, made once by the
// openssl program; one connection after the other, on a thread of its own.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "base/core/mutex.h"

namespace quire::http {

// For the names localhost and hooks.example.
struct TestCertificate {
  TestCertificate() {
    std::string pattern = ::testing::TempDir() + "quire_hooks_XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    folder = pattern;
    const std::string command =
        absl::StrCat("cd ", pattern,
                     " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 ",
                     "-subj /CN=receiver -addext subjectAltName=DNS:localhost,DNS:hooks.example -keyout "
                     "key.pem -out cert.pem ",
                     "2>log");
    EXPECT_EQ(std::system(command.c_str()), 0);
  }
  ~TestCertificate() { std::filesystem::remove_all(folder); }
  std::string cert() const { return folder / "cert.pem"; }
  std::string key() const { return folder / "key.pem"; }

  std::filesystem::path folder;
};

class TestTlsReceiver {
 public:
  // To a request's bytes, the reply's; nothing: it waits until the client leaves.
  using Answer = std::function<std::optional<std::string>(const std::string& request)>;

  TestTlsReceiver(const TestCertificate& certificate, Answer answer, const char* address = "127.0.0.1",
                  int port = 0)
      : answer_(std::move(answer)),
        acceptor_(context_, {boost::asio::ip::make_address(address), static_cast<uint16_t>(port)}) {
    tls_.use_certificate_chain_file(certificate.cert());
    tls_.use_private_key_file(certificate.key(), boost::asio::ssl::context::pem);
    thread_ = std::thread([this] { Run(); });
  }
  ~TestTlsReceiver() {
    shutdown(acceptor_.native_handle(), SHUT_RDWR);
    thread_.join();
  }

  int port() const { return acceptor_.local_endpoint().port(); }
  int connections() const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    return connections_;
  }
  std::vector<std::string> requests() const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    return requests_;
  }
  // Until so many have come, for a minute.
  std::vector<std::string> AwaitRequests(size_t count) const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return requests_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(60)));
    return requests_;
  }

 private:
  using Socket = boost::asio::ip::tcp::socket;

  void Run() {
    while (true) {
      boost::system::error_code error;
      Socket socket(context_);
      acceptor_.accept(socket, error);
      if (error) return;
      {
        MutexLock lock(&mutex_);
        ++connections_;
      }
      boost::asio::ssl::stream<Socket> stream(std::move(socket), tls_);
      stream.handshake(boost::asio::ssl::stream_base::server, error);
      if (!error) Talk(stream);
    }
  }

  void Talk(boost::asio::ssl::stream<Socket>& stream) {
    boost::system::error_code error;
    std::string request;
    const size_t head =
        boost::asio::read_until(stream, boost::asio::dynamic_buffer(request), "\r\n\r\n", error);
    if (error) return;
    const size_t length = std::stoul(request.substr(request.find("Content-Length: ") + 16));
    while (request.size() < head + length && !error) {
      char bytes[1024];
      const size_t count = stream.read_some(boost::asio::buffer(bytes), error);
      request.append(bytes, count);
    }
    const std::optional<std::string> reply = answer_(request);
    {
      MutexLock lock(&mutex_);
      requests_.push_back(std::move(request));
    }
    char bytes[1024];
    if (reply) boost::asio::write(stream, boost::asio::buffer(*reply), error);
    while (!reply && !error) stream.read_some(boost::asio::buffer(bytes), error);
    if (reply) stream.shutdown(error);
  }

  const Answer answer_;
  boost::asio::io_context context_;
  boost::asio::ssl::context tls_{boost::asio::ssl::context::tls_server};
  boost::asio::ip::tcp::acceptor acceptor_;
  mutable Mutex mutex_;
  int connections_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> requests_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace quire::http
