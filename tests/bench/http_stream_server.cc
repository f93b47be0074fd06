// quire-bench-http: the gateway's HTTP side alone. POST /v1/chat/completions streams --tokens events, one
// write each: as fast as they go (--interval-us 0), or paced by another thread through a Mailbox, as a
// worker's tokens come. Prints its port, serves until SIGTERM. For quire-bench-sse.

#include <cstdio>
#include <memory>

#include "base/core/options.h"
#include "base/core/shutdown.h"
#include "base/http/exchange.h"
#include "base/async/mailbox.h"
#include "base/http/server.h"
#include "tests/bench/pacer.h"

namespace quire::gateway {
namespace {

constexpr char kFrame[] =
    "data: {\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
    "\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" "
    "word\"},\"finish_reason\":null}]}\n\n";

class Streamer {
 public:
  Streamer(int64_t tokens, bench::Pacer* pacer) : tokens_(tokens), pacer_(pacer) {}

  boost::asio::awaitable<void> Serve(http::Exchange& exchange) {
    const std::optional<std::string> body = co_await exchange.ReadBody();
    if (!body) co_return;
    auto ticks = std::make_shared<Mailbox<int>>();
    exchange.OnGone([ticks] { ticks->Push(0); });
    exchange.StartStream();
    if (pacer_ != nullptr) {
      pacer_->Add([ticks, left = tokens_]() mutable {
        ticks->Push(1);
        return --left > 0;
      });
    }
    for (int64_t sent = 0; sent < tokens_ && !exchange.gone();) {
      size_t ready = 1;
      if (pacer_ != nullptr) ready = (co_await ticks->Wait()).size();
      for (size_t i = 0; i < ready; ++i) exchange.Append(kFrame, 1);
      sent += static_cast<int64_t>(ready);
      (co_await exchange.SendFrames()).IgnoreError();
    }
    exchange.Append("data: [DONE]\n\n");
    (co_await exchange.Finish()).IgnoreError();
  }

 private:
  const int64_t tokens_;
  bench::Pacer* const pacer_;
};

int Main(int argc, char** argv) {
  int64_t port = 0, threads = 1, tokens = 128, interval_us = 0;
  Options options("quire-bench-http", "The gateway's HTTP server over a scripted stream.");
  options.Add("port", &port, "PORT", "0 = any", {0, 65535});
  options.Add("threads", &threads, "N", "io threads", {1, 64});
  options.Add("tokens", &tokens, "N", "events per stream", {1, 1'000'000});
  options.Add("interval-us", &interval_us, "us", "time between a stream's events", {0, 10'000'000});
  if (const int code = ParseOrExitCode(options, argc, argv); code >= 0) return code;
  BlockShutdownSignals();
  std::unique_ptr<bench::Pacer> pacer;
  if (interval_us > 0) pacer = std::make_unique<bench::Pacer>(absl::Microseconds(interval_us));
  Streamer streamer(tokens, pacer.get());
  http::RouteTable routes;
  routes.Add("POST", "/v1/chat/completions",
             [&](http::Exchange& exchange) { return streamer.Serve(exchange); });
  Metrics metrics;
  http::HttpServerOptions server_options;
  server_options.port = static_cast<int>(port);
  server_options.threads = static_cast<int>(threads);
  server_options.on_request = [](const http::RequestRecord&) {};  // stdout is for the port
  const auto server = http::Server::Start(server_options, std::move(routes), metrics);
  if (!server.ok()) {
    std::fprintf(stderr, "quire-bench-http: %s\n", std::string(server.status().message()).c_str());
    return 1;
  }
  std::printf("%d\n", (*server)->port());
  std::fflush(stdout);
  WaitForShutdownSignal();
  return 0;
}

}  // namespace
}  // namespace quire::gateway

int main(int argc, char** argv) { return quire::gateway::Main(argc, argv); }
