#include "tests/bench/sse_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace quire::bench {
namespace {

constexpr size_t kHeadBytes = 2048, kTailBytes = 4096;
constexpr std::string_view kChunk = "data: {", kEnd = "data: [DONE]", kLastChunk = "0\r\n\r\n";

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// The number behind the last `name` in the text; -1 where there is none.
int64_t NumberBehind(std::string_view text, std::string_view name) {
  const size_t at = text.rfind(name);
  return at == std::string_view::npos ? -1 : std::atoll(text.data() + at + name.size());
}

}  // namespace

bool SseClient::TakeReconnected() { return std::exchange(reconnected_, false); }

bool SseClient::Connect() {
  fd_ = Fd(socket(AF_INET, SOCK_STREAM, 0));
  const int on = 1;
  setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port_));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  reconnected_ = true;
  if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
  return fcntl(fd_.get(), F_SETFL, O_NONBLOCK) == 0;
}

bool SseClient::Begin() {
  sent_ = received_ = 0;
  chunks_ = 0;
  head_.clear();
  tail_.clear();
  times_ = {};
  begun_ = Clock::now();
  if (!fd_.valid() && !Connect()) return false;
  Write();
  return true;
}

void SseClient::Write() {
  const ssize_t count = send(fd_.get(), request_.data() + sent_, request_.size() - sent_, MSG_NOSIGNAL);
  if (count > 0) sent_ += count;
}

SseClient::Progress SseClient::OnReady() {
  if (sent_ < request_.size()) Write();
  char bytes[65536];
  while (true) {
    const ssize_t count = recv(fd_.get(), bytes, sizeof bytes, 0);
    if (count > 0) {
      Take(bytes, count);
      if (ReplyComplete()) return Finish(head_.find(" 200 ") < 16);
    } else if (count < 0 && errno == EAGAIN) {
      return Progress::kPending;
    } else {
      return Finish(false);  // closed within a reply
    }
  }
}

void SseClient::Take(const char* bytes, size_t count) {
  received_ += count;
  if (head_.size() < kHeadBytes) head_.append(bytes, std::min(count, kHeadBytes - head_.size()));
  // Chunks are found over the seam of two reads: the search begins a marker's length back.
  const size_t seam = tail_.size() - std::min(tail_.size(), kChunk.size() - 1);
  tail_.append(bytes, count);
  const int64_t before = chunks_;
  for (size_t at = seam; (at = tail_.find(kChunk, at)) != std::string::npos; at += kChunk.size()) ++chunks_;
  if (tail_.size() > 2 * kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  if (chunks_ == before) return;
  const Clock::time_point now = Clock::now();
  if (before == 0) {
    times_.first_chunk_ms = Milliseconds(now - begun_);
  } else {
    times_.gaps_ms.push_back(Milliseconds(now - last_chunk_));
  }
  last_chunk_ = now;
}

bool SseClient::ReplyComplete() const {
  if (streamed_ && head_.find("text/event-stream") != std::string::npos) {
    return tail_.ends_with(kLastChunk) && tail_.find(kEnd) != std::string::npos;
  }
  const size_t body = head_.find("\r\n\r\n");
  std::string lower = head_.substr(0, body);
  std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
  const int64_t length = NumberBehind(lower, "content-length: ");
  return body != std::string::npos && length >= 0 && received_ >= body + 4 + static_cast<size_t>(length);
}

SseClient::Progress SseClient::Finish(bool ok) {
  times_.ok = ok;
  times_.total_ms = Milliseconds(Clock::now() - begun_);
  if (times_.first_chunk_ms == 0) times_.first_chunk_ms = times_.total_ms;
  times_.tokens = std::max<int64_t>(NumberBehind(tail_, "\"completion_tokens\":"), 0);
  if (times_.tokens == 0) times_.tokens = chunks_;
  if (!ok || head_.find("onnection: close\r\n") != std::string::npos) {
    fd_.Close();
  }
  return Progress::kDone;
}

}  // namespace quire::bench
