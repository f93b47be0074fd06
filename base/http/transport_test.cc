// A transport and its client on one thread, so that what one does before the other is the test's to say.
#include "base/http/transport.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <string>

#include "base/http/routes.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;

class TransportTest : public ::testing::Test {
 protected:
  void Connect() {
    tcp::acceptor acceptor(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    client_.open(tcp::v4());
    client_.set_option(asio::socket_base::receive_buffer_size(4096));
    client_.connect(acceptor.local_endpoint());
    client_.non_blocking(true);
    transport_ = std::make_shared<Transport>(acceptor.accept(), limits_, http_metrics_);
  }
  // What one read brings.
  void ReadSome() {
    char bytes[64 << 10];
    boost::system::error_code nothing_yet;
    client_.read_some(asio::buffer(bytes), nothing_yet);
  }
  // Reads a little every now and then until `end`, or the connection's.
  void ReadSlowlyUntil(Transport::Clock::time_point end) {
    while (Transport::Clock::now() < end && transport_->status().ok()) {
      pause_.expires_after(limits_.write_timeout / 4);
      pause_.async_wait([this](const boost::system::error_code&) {
        for (int i = 0; i < 2; ++i) ReadSome();  // the second acknowledges what the first made room for
      });
      while (pause_.expiry() > Transport::Clock::now()) io_.run_one_for(milliseconds(10));
      io_.poll();
    }
  }

  asio::io_context io_;
  asio::steady_timer pause_{io_};
  HttpLimits limits_;
  Metrics metrics_;
  HttpMetrics http_metrics_{metrics_, RouteTable(), "test"};
  tcp::socket client_{io_};
  std::shared_ptr<Transport> transport_;
};

// All of a whole answer is one write, and the kernel asks for more of it only when a third of its room is
// free: more than this client takes in the time.
TEST_F(TransportTest, WhoReadsSlowlyIsNotWhoReadsNothing) {
  limits_.write_timeout = milliseconds(300);
  Connect();
  transport_->out().AppendRaw(std::string(16 << 20, 'x'));
  transport_->Pump();
  const auto begun = Transport::Clock::now();
  ReadSlowlyUntil(begun + 3 * limits_.write_timeout);
  EXPECT_TRUE(transport_->status().ok()) << transport_->status();
  EXPECT_FALSE(transport_->out().empty()) << "it was too quick to show anything";
  while (transport_->status().ok()) io_.run_one();  // from now on it reads nothing
  EXPECT_TRUE(absl::IsDeadlineExceeded(transport_->status())) << transport_->status();
}

}  // namespace
}  // namespace quire::http
