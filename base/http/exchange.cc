#include "base/http/exchange.h"

#include <algorithm>
#include <utility>

#include "base/http/inflate.h"
#include "base/http/reply_head.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;

enum class Encoding { kNone, kGzip, kOther };

Encoding EncodingOf(const RequestHead& head) {
  std::vector<std::string> codings = head.List("content-encoding");
  std::erase(codings, "identity");
  if (codings.empty()) return Encoding::kNone;
  const bool gzip = codings.size() == 1 && (codings[0] == "gzip" || codings[0] == "x-gzip");
  return gzip ? Encoding::kGzip : Encoding::kOther;
}

double MillisecondsSince(Transport::Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Transport::Clock::now() - begin).count();
}

}  // namespace

Exchange::Exchange(ServerContext& server, Transport& transport, RequestParser& parser)
    : server_(server),
      transport_(transport),
      parser_(parser),
      id_(RequestId::Random()),
      delivered_before_(transport.out().delivered_units()),
      begun_(Transport::Clock::now()) {}

void Exchange::Begin(RouteTable::Match match, bool may_go_on) {
  match_ = std::move(match);
  goes_on_ = may_go_on;
  begun_ = Transport::Clock::now();
}

// ---- the body ----

asio::awaitable<std::optional<std::string>> Exchange::ReadBody() {
  MayHold any;
  std::optional<RawBody> body = co_await ReadRawBody(std::move(any));
  if (!body) co_return std::nullopt;
  if (!body->gzip) co_return std::move(body->bytes);
  absl::StatusOr<std::string> inflated = Gunzip(body->bytes, limits().inflated_body_bytes);
  if (inflated.ok()) co_return *std::move(inflated);
  co_await Refuse(RuleOfGunzip(inflated.status()));
  co_return std::nullopt;
}

asio::awaitable<std::optional<Exchange::RawBody>> Exchange::ReadRawBody(MayHold may_hold) {
  body_read_ = true;
  if (!head().has_body()) co_return RawBody();
  std::optional<Rule> refusal;
  const Encoding encoding = EncodingOf(head());
  if (encoding == Encoding::kOther) refusal = Rule::kContentEncoding;
  std::optional<std::string> body;
  if (!refusal) body = co_await ReceiveBody(may_hold, refusal);
  if (refusal) {
    body_read_ = false;  // what is left of it on the wire ends the connection
    co_await Refuse(*refusal);
    co_return std::nullopt;
  }
  if (!body) {
    if (!body_read_) co_return std::nullopt;  // the handler refuses it
    transport_.Close(absl::CancelledError("the client left within the body"));
    co_return std::nullopt;
  }
  RawBody raw{*std::move(body), encoding == Encoding::kGzip};
  co_return std::move(raw);
}

size_t Exchange::MaxBodyBytes() const {
  if (!head().has_body()) return 0;
  return std::min<uint64_t>(head().content_length.value_or(limits().body_bytes), limits().body_bytes);
}

// The body's bytes as sent; nullopt where refusal is set or the client is gone.
asio::awaitable<std::optional<std::string>> Exchange::ReceiveBody(const MayHold& may_hold,
                                                                  std::optional<Rule>& refusal) {
  using std::chrono::milliseconds;
  const auto start = Transport::Clock::now();
  AskForBody();
  while (true) {
    transport_.ConsumeIn(parser_.ReadBody(transport_.in()));
    if (parser_.refusal()) {
      refusal = parser_.refusal();
      co_return std::nullopt;
    }
    if (may_hold && !may_hold(parser_.body_size())) {
      body_read_ = false;  // what is left of it on the wire ends the connection
      co_return std::nullopt;
    }
    if (parser_.body_done()) break;
    const milliseconds earned(1000 * parser_.body_size() / limits().body_bytes_per_second);
    transport_.SetReadDeadline(start + std::min(limits().body_timeout, limits().body_grace + earned));
    const bool arrived = co_await transport_.Read();
    if (arrived) continue;
    if (transport_.read_expired()) refusal = Rule::kBodyTimeout;
    co_return std::nullopt;
  }
  transport_.ClearReadDeadline();
  co_return parser_.TakeBody();
}

void Exchange::AskForBody() {
  const bool too_large = head().content_length.value_or(0) > limits().body_bytes;
  const bool asked = head().Find("expect") != nullptr && head().minor_version == 1;
  if (!asked || too_large || !transport_.in().empty()) return;
  transport_.out().AppendRaw("HTTP/1.1 100 Continue\r\n\r\n");
  transport_.Pump();
}

// ---- the reply ----

void Exchange::QueueHead(int status, Headers headers, bool may_go_on) {
  goes_on_ = goes_on_ && may_go_on && !server_.leaving;
  headers.emplace_back("x-request-id", id_.ToHex());
  if (match_.dialect->id_header != nullptr) headers.emplace_back(match_.dialect->id_header, id_.ToHex());
  server_.cors.AddTo(headers, head());
  transport_.out().AppendRaw(ReplyHead(status, headers, server_.clock.UnixMs() / 1000, goes_on_));
  answered_ = true;
  record_.status = status;
  server_.metrics.CountRequest(match_.path, status);
}

asio::awaitable<void> Exchange::Refuse(Rule rule) {
  server_.metrics.CountRefusal(rule);
  return SendError(RefusalError(rule));
}

asio::awaitable<void> Exchange::Send(Reply reply, std::vector<Mark> marks) {
  if (answered_ || gone()) co_return;
  Headers headers = std::move(reply.headers);
  const bool bodiless = reply.status == 204 || reply.status == 304;
  if (!bodiless) {
    headers.emplace_back("content-type", reply.content_type);
    headers.emplace_back("content-length", std::to_string(reply.body.size()));
  }
  QueueHead(reply.status, std::move(headers), !body_left());
  record_.error = std::move(reply.error);
  transport_.out().StartFrames(false);
  const std::string_view body = bodiless || head().method == "HEAD" ? std::string_view() : reply.body;
  size_t begin = 0;
  for (const Mark& mark : marks) {
    const size_t end = std::min(mark.end, body.size());
    transport_.out().AppendFrame(body.substr(begin, end - begin), mark.units);
    begin = end;
  }
  transport_.out().AppendFrame(body.substr(begin), 0);
  transport_.Pump();
  co_await transport_.Flush();
}

void Exchange::StartStream(Headers headers) {
  if (answered_ || gone()) return;
  const bool chunked = head().minor_version == 1;
  headers.emplace_back("content-type", "text/event-stream; charset=utf-8");
  headers.emplace_back("cache-control", "no-cache");
  headers.emplace_back("x-accel-buffering", "no");
  if (chunked) headers.emplace_back("transfer-encoding", "chunked");
  QueueHead(200, std::move(headers), chunked && !body_left());
  stream_started_ = true;
  if (head().method == "HEAD") {
    stream_finished_ = true;  // there is nothing but the head
    transport_.Pump();
    return;
  }
  transport_.out().StartFrames(chunked);
  transport_.KeepAlive(limits().first_keep_alive, match_.dialect->keep_alive);
}

void Exchange::Append(std::string_view frame, uint32_t units) {
  if (!cut() || gone()) return;
  transport_.out().AppendFrame(frame, units);
  if (units > 0) NoteFirstToken();
  if (std::exchange(spoken_, true)) return;
  transport_.KeepAlive(limits().keep_alive_interval, match_.dialect->keep_alive);
}

asio::awaitable<absl::Status> Exchange::SendFrames() {
  transport_.Pump();
  if (transport_.out().over_bounds()) co_await transport_.Room();
  co_return transport_.status();
}

asio::awaitable<absl::Status> Exchange::Finish() {
  if (stream_started_ && !std::exchange(stream_finished_, true)) {
    transport_.StopKeepAlive();
    transport_.out().EndFrames();
    transport_.Pump();
    co_await transport_.Flush();
  }
  co_return transport_.status();
}

void Exchange::OnGone(std::function<void()> gone_callback) {
  if (gone()) return gone_callback();
  transport_.set_on_end(std::move(gone_callback));
  transport_.Watch();
}

// ---- the log ----

void Exchange::NoteFirstToken() {
  if (record_.first_token_ms == 0) record_.first_token_ms = MillisecondsSince(begun_);
}

const char* Exchange::WhyCut() const {
  switch (status().code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return "slow_reader";
    case absl::StatusCode::kUnavailable:
      return "server_stopped";
    case absl::StatusCode::kCancelled:
      return "client_gone";
    default:
      return "aborted";
  }
}

void Exchange::Record() {
  if (match_.kind == RouteTable::Kind::kProbe) return;
  record_.request_id = id_.ToHex();
  // A client's method is its own bytes: only the usual ones are written down.
  record_.method = IsKnownMethod(head().method) ? head().method : "other";
  record_.route = match_.path.empty() ? "other" : std::string(match_.path);
  record_.total_ms = MillisecondsSince(begun_);
  if (!answered_) record_.status = kStatusClientGone;
  // Who leaves with the last byte has not left.
  const bool whole = answered_ && !cut() && transport_.out().empty();
  if (gone() && !whole && record_.error.empty()) record_.error = WhyCut();
  server_.request_lines.Write(record_);
}

}  // namespace quire::http
