// quire-bench-sse: closed-loop load on a chat endpoint of this machine, as many clients would make it: each
// of
// --streams kept-alive connections sends one request after another until --requests are done. One thread, one
// epoll. Prints one JSON line: tokens/s, time to the first chunk, gaps between chunks, what was added to the
// pace (--interval-us), and the server's CPU time (--server-pid).

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "base/core/fd.h"
#include "base/core/options.h"
#include "tests/bench/sse_client.h"

namespace quire::bench {
namespace {

struct Config {
  int64_t port = 8000, streams = 1, requests = 1, tokens = 128, interval_us = 0, server_pid = 0;
  std::string key, model = "mock", path = "/v1/chat/completions", prompt = "Say something.", with = "{}";
  bool stream = true;
};

std::string MakeRequest(const Config& config) {
  nlohmann::ordered_json message;
  message["role"] = "user";
  message["content"] = config.prompt;
  nlohmann::ordered_json body;
  body["model"] = config.model;
  body["messages"] = nlohmann::ordered_json::array({message});
  body["max_tokens"] = config.tokens;
  body["ignore_eos"] = true;
  body["stream"] = config.stream;
  body.merge_patch(nlohmann::ordered_json::parse(config.with));
  const std::string text = body.dump();
  std::string request =
      "POST " + config.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";
  if (!config.key.empty()) request += "Authorization: Bearer " + config.key + "\r\n";
  return request + "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
}

// CPU seconds of a process so far; 0 where it can't be read.
double CpuSeconds(int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::stringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const size_t after_name = text.rfind(')');
  if (pid == 0 || after_name == std::string::npos) return 0;
  std::istringstream fields(text.substr(after_name + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double Percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const size_t rank =
      std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(rank), values.end());
  return values[rank];
}

class Load {
 public:
  explicit Load(const Config& config)
      : config_(config), request_(MakeRequest(config)), epoll_(epoll_create1(0)) {}

  void Run() {
    const double cpu_before = CpuSeconds(config_.server_pid);
    const Clock::time_point start = Clock::now();
    const int64_t streams = std::min(config_.streams, config_.requests);
    for (int64_t i = 0; i < streams; ++i) {
      clients_.push_back(
          std::make_unique<SseClient>(static_cast<int>(config_.port), request_, config_.stream));
    }
    for (const auto& client : clients_) BeginNext(*client);
    while (running_ > 0) WaitOnce();
    seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
    server_cpu_seconds_ = CpuSeconds(config_.server_pid) - cpu_before;
  }

  nlohmann::ordered_json Report() {
    nlohmann::ordered_json report;
    report["ok"] = ok_;
    report["failed"] = failed_;
    report["tokens"] = tokens_;
    report["seconds"] = seconds_;
    report["tokens_per_s"] = static_cast<double>(tokens_) / seconds_;
    report["requests_per_s"] = static_cast<double>(ok_) / seconds_;
    report["ttfb_p50_ms"] = Percentile(first_chunk_ms_, 0.5);
    report["ttfb_p99_ms"] = Percentile(first_chunk_ms_, 0.99);
    report["gap_p50_ms"] = Percentile(gaps_ms_, 0.5);
    report["gap_p99_ms"] = Percentile(gaps_ms_, 0.99);
    report["added_p50_ms"] = Percentile(added_ms_, 0.5);
    report["added_p99_ms"] = Percentile(added_ms_, 0.99);
    if (config_.server_pid > 0) {
      report["server_cpu_us_per_request"] =
          server_cpu_seconds_ * 1e6 / static_cast<double>(std::max<int64_t>(ok_, 1));
      report["server_cpu_ms_per_1000_tokens"] =
          server_cpu_seconds_ * 1e6 / static_cast<double>(std::max<int64_t>(tokens_, 1));
    }
    return report;
  }

  bool all_ok() const { return failed_ == 0; }

 private:
  void BeginNext(SseClient& client) {
    while (begun_ < config_.requests) {
      ++begun_;
      const bool connected = client.Begin();
      if (client.TakeReconnected() && connected) {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLET;
        event.data.ptr = &client;
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, client.fd(), &event);
      }
      if (connected) {
        ++running_;
        return;
      }
      ++failed_;
    }
  }

  void WaitOnce() {
    epoll_event events[256];
    const int count = epoll_wait(epoll_.get(), events, 256, -1);
    for (int i = 0; i < count; ++i) {
      SseClient& client = *static_cast<SseClient*>(events[i].data.ptr);
      if (client.OnReady() == SseClient::Progress::kPending) continue;
      --running_;
      Record(client.times());
      BeginNext(client);
    }
  }

  void Record(const RequestTimes& times) {
    if (!times.ok) {
      ++failed_;
      return;
    }
    ++ok_;
    tokens_ += times.tokens;
    first_chunk_ms_.push_back(times.first_chunk_ms);
    gaps_ms_.insert(gaps_ms_.end(), times.gaps_ms.begin(), times.gaps_ms.end());
    added_ms_.push_back(times.total_ms - static_cast<double>(config_.interval_us * times.tokens) / 1000);
  }

  const Config& config_;
  const std::string request_;
  const Fd epoll_;
  std::vector<std::unique_ptr<SseClient>> clients_;
  int64_t begun_ = 0, running_ = 0, ok_ = 0, failed_ = 0, tokens_ = 0;
  std::vector<double> first_chunk_ms_, gaps_ms_, added_ms_;
  double seconds_ = 0, server_cpu_seconds_ = 0;
};

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) {
  quire::bench::Config config;
  quire::Options options("quire-bench-sse", "Closed-loop load on a chat endpoint; prints one JSON line.");
  options.Add("url-port", &config.port, "PORT", "the endpoint's port on 127.0.0.1", {1, 65535});
  options.Add("path", &config.path, "PATH", "the endpoint's path");
  options.Add("key", &config.key, "KEY", "bearer key");
  options.Add("model", &config.model, "NAME", "the model to ask for");
  options.Add("prompt", &config.prompt, "TEXT", "the user's message");
  options.Add("with", &config.with, "JSON", "fields laid over the request's");
  options.Add("streams", &config.streams, "N", "connections at once", {1, 20000});
  options.Add("requests", &config.requests, "N", "requests in all", {1, 100'000'000});
  options.Add("tokens", &config.tokens, "N", "max_tokens of each", {1, 1'000'000});
  options.Add("interval-us", &config.interval_us, "us", "the worker's pace per token, for the added latency",
              {0, 10'000'000});
  options.Add("server-pid", &config.server_pid, "PID", "whose CPU time to report (0 = nobody's)", {0});
  options.Add("stream", &config.stream, "ask for server-sent events");
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  if (!nlohmann::json::accept(config.with)) {
    std::fprintf(stderr, "quire-bench-sse: --with is no JSON\n");
    return 2;
  }
  quire::bench::Load load(config);
  load.Run();
  std::puts(load.Report().dump().c_str());
  return load.all_ok() ? 0 : 1;
}
