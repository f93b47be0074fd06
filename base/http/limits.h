// Every limit of the HTTP server, in one place with its default (the public plane's), so that tests can
// shorten them. Plain data, copied into the server at Start.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace quire::http {

struct HttpLimits {
  // The head: request line and headers together. The timeout is for all of it; a dripping client gains
  // nothing.
  size_t head_bytes = 16 << 10;
  int headers = 100;
  std::chrono::milliseconds head_timeout{10'000};
  // Between two requests of a connection.
  std::chrono::milliseconds idle_timeout{60'000};
  int requests_per_connection = 1000;

  // The body, as sent and after gunzip. After the grace its mean rate must stay above the minimum.
  size_t body_bytes = 8 << 20;
  size_t inflated_body_bytes = 8 << 20;
  std::chrono::milliseconds body_grace{10'000};
  std::chrono::milliseconds body_timeout{60'000};
  int64_t body_bytes_per_second = 1024;
  // Chunk sizes, extensions and trailers beyond what the body's own bytes excuse.
  size_t chunk_overhead_bytes = 16 << 10;

  // Replies. A queue above either bound makes the writer wait; a client that takes nothing of what waits for
  // it for as long as the timeout ends its request (the slow reader rule: one that takes little at a time is
  // none).
  size_t queued_frames = 256;
  size_t queued_bytes = 256 << 10;
  std::chrono::milliseconds write_timeout{30'000};
  // A started stream that is silent for this long gets a keep-alive (dialect.h); the first comes sooner, so
  // that a client and what stands between see soon that the request has begun.
  std::chrono::milliseconds first_keep_alive{1'000};
  std::chrono::milliseconds keep_alive_interval{10'000};
  // A client that vanished without a word: once nothing came from its machine for so long, the kernel asks
  // for it. One that acknowledges nothing, or takes nothing of what is sent, for the timeout is gone; where
  // more waits for it than the kernel holds, it is a slow reader.
  std::chrono::seconds peer_idle{10}, peer_probe_interval{5}, peer_timeout{30};
  // The kernel's share of a slow reader's backlog.
  int send_buffer_bytes = 128 << 10;

  // At a bound, whoever waits longest without a whole head on the newcomer's io thread makes room, else on
  // another one; where nobody waits, the newcomer is refused.
  int connections = 8192;
  int connections_per_ip = 4096;  // 0 = no bound
};

// What a connection may hold: its socket, and while an answer runs a wait for its end, where the client has
// sent so much ahead that the socket is always readable.
inline constexpr int kDescriptorsPerConnection = 2;

// For the planes of operators: few clients, small bodies.
inline HttpLimits OperatorLimits() {
  HttpLimits limits;
  limits.body_bytes = limits.inflated_body_bytes = 1 << 20;
  limits.connections = 256;
  limits.connections_per_ip = 0;
  return limits;
}

}  // namespace quire::http
