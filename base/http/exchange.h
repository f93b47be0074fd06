// One request and its reply, as a handler sees it. A handler is a coroutine on its connection's thread,
// called when the head has been checked and before any byte of the body: it refuses, or reads the body, and
// then answers once, whole (Send a Reply) or as a stream of server-sent events. Everything here is for that
// thread only; other threads reach the handler through a Mailbox (mailbox.h).
//
//   asio::awaitable<void> Chat(Exchange& exchange) {
//     if (!Authorized(exchange.head())) co_return co_await exchange.SendError(NoKey());
//     std::optional<std::string> body = co_await exchange.ReadBody();
//     if (!body) co_return;                       // answered already, or the client is gone
//     auto mailbox = std::make_shared<Mailbox<Event>>();
//     exchange.OnGone([mailbox, call] { call->Cancel(); });
//     exchange.StartStream();
//     while (...) {
//       std::vector<Event> events = co_await mailbox->Wait();
//       for (Event& event : events) exchange.Append(SseFrame(event), /*units=*/1);
//       absl::Status sent = co_await exchange.SendFrames();
//       if (!sent.ok()) co_return;
//     }
//     exchange.Append("data: [DONE]\n\n");
//     co_await exchange.Finish();
//   }
//
// g++ 12 miscompiles a co_await inside a loop's condition (`this` is garbage), and destroys a braced
// temporary in a co_await's expression twice: co_await in a statement of its own, as above, and of named
// values.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/core/ids.h"
#include "base/http/refusal.h"
#include "base/http/reply.h"
#include "base/http/request_head.h"
#include "base/http/request_parser.h"
#include "base/http/request_record.h"
#include "base/http/server_context.h"
#include "base/http/transport.h"

namespace quire::http {

class Exchange {
 public:
  // Made by the connection, one per request, before its head has come.
  Exchange(ServerContext& server, Transport& transport, RequestParser& parser);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const RequestHead& head() const { return parser_.head(); }
  // What the star of the handler's route stands for, percent-decoded.
  const std::string& tail() const { return match_.tail; }
  // Minted here; its hex form is the reply's x-request-id.
  const RequestId& id() const { return id_; }
  const HttpLimits& limits() const { return server_.limits; }
  // What the request's line in the log will say: the handler adds what it knows.
  RequestRecord& record() { return record_; }
  // For a whole answer; of a stream, the first frame with units is noted by itself.
  void NoteFirstToken();

  // The whole body, gunzipped, within the limits. nullopt: it broke a limit and was answered (400, 408, 413,
  // 415), or the client left; the handler then just returns. Once at most.
  boost::asio::awaitable<std::optional<std::string>> ReadBody();
  // The same as the client sent it, for a handler that gunzips elsewhere (a body of a few KB can become
  // megabytes) and then refuses by itself what proves wrong.
  struct RawBody {
    std::string bytes;
    bool gzip = false;
  };
  // Asked whenever some of the body has come, with how many bytes of it there are now. False: no more is
  // read, and the handler, which gets nullopt, refuses by itself.
  using MayHold = std::function<bool(size_t bytes)>;
  boost::asio::awaitable<std::optional<RawBody>> ReadRawBody(MayHold may_hold);
  // The most bytes that the body may have as sent, known before it is read.
  size_t MaxBodyBytes() const;
  // Answers with the server's own refusal, counted by rule.
  boost::asio::awaitable<void> Refuse(Rule rule);

  // Calls `gone` once, on this thread, as soon as the client is known to have left (FIN, RST, a slow reader's
  // deadline, the end of a drain); right away if it already has. From the first call on the socket is
  // watched. The handler must then return soon. Forgotten when the handler returns.
  void OnGone(std::function<void()> gone);
  bool gone() const { return !status().ok(); }
  // OK; Cancelled: the client left; DeadlineExceeded: it read too slowly; Unavailable: the drain's end.
  const absl::Status& status() const { return transport_.status(); }

  // Answers, whole (to HEAD, without the body). Returns when the last byte was handed to the kernel or the
  // client is gone. A mark's units count as delivered once the byte of the body before its end was handed to
  // the kernel; the marks are in the body's order.
  struct Mark {
    size_t end;
    uint32_t units;
  };
  boost::asio::awaitable<void> Send(Reply reply, std::vector<Mark> marks = {});
  // An error, as the path's dialect says it.
  boost::asio::awaitable<void> SendError(const ApiError& error) { return Send(ReplyTo(error)); }
  Reply ReplyTo(const ApiError& error) const { return match_.dialect->error_reply(error, id_); }

  // Opens the reply as text/event-stream; its head leaves with the next SendFrames (or at once, through
  // it). From then on silence is filled with keep-alive comments.
  void StartStream(Headers headers = {});
  bool stream_started() const { return stream_started_; }
  // Queues one whole event ("data: ...\n\n"). `units` (tokens) count as delivered once its last byte was
  // handed to the kernel.
  void Append(std::string_view frame, uint32_t units = 0);
  // Sends all that is queued in one write and returns at once, unless the queue is over its bounds: then when
  // it is within them again. Not OK: see status(); nothing more can be sent.
  boost::asio::awaitable<absl::Status> SendFrames();
  // Sends what is queued and the stream's end; returns when all of it was written.
  boost::asio::awaitable<absl::Status> Finish();

  // The units of every frame handed to the kernel so far; still valid after the client left.
  uint64_t delivered_units() const { return transport_.out().delivered_units() - delivered_before_; }

  // ---- for the connection ----
  // The head is there: what it leads to, and whether the connection may serve another request after this one.
  void Begin(RouteTable::Match match, bool may_go_on);
  const RouteTable::Match& match() const { return match_; }
  bool answered() const { return answered_; }
  // Something of a stream was sent, and not its end.
  bool cut() const { return stream_started_ && !stream_finished_; }
  // Part of the body was not read.
  bool body_left() const { return head().has_body() && !body_read_; }
  bool goes_on() const { return goes_on_; }
  void EndConnection() { goes_on_ = false; }
  // Tells the server's sink, unless it was a probe.
  void Record();

 private:
  boost::asio::awaitable<std::optional<std::string>> ReceiveBody(const MayHold& may_hold,
                                                                 std::optional<Rule>& refusal);
  void AskForBody();
  // Queues the reply's head (and counts the reply); the connection is closed after it unless `may_go_on`.
  void QueueHead(int status, Headers headers, bool may_go_on);
  const char* WhyCut() const;

  ServerContext& server_;
  Transport& transport_;
  RequestParser& parser_;
  const RequestId id_;
  const uint64_t delivered_before_;
  RouteTable::Match match_;
  Transport::Clock::time_point begun_;
  RequestRecord record_;
  bool goes_on_ = false;
  bool body_read_ = false;
  bool answered_ = false;
  bool stream_started_ = false;
  bool stream_finished_ = false;
  bool spoken_ = false;  // the stream has had a frame
};

}  // namespace quire::http
