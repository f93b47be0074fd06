#include "base/http/exchange.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "base/http/connection.h"
#include "base/http/inflate.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;

enum class Encoding { kNone, kGzip, kOther };

Encoding EncodingOf(const RequestHead& head) {
  const std::string* encoding = head.Find("content-encoding");
  if (encoding == nullptr || absl::EqualsIgnoreCase(*encoding, "identity")) return Encoding::kNone;
  return absl::EqualsIgnoreCase(*encoding, "gzip") ? Encoding::kGzip : Encoding::kOther;
}

}  // namespace

Exchange::Exchange(Connection& connection, const RequestHead& head, RequestId id)
    : connection_(connection),
      head_(head),
      id_(id),
      delivered_before_(connection.transport_->out().delivered_units()) {}

asio::any_io_executor Exchange::executor() const { return connection_.transport_->executor(); }
bool Exchange::gone() const { return !status().ok(); }
absl::Status Exchange::status() const { return connection_.transport_->status(); }

uint64_t Exchange::delivered_units() const {
  return connection_.transport_->out().delivered_units() - delivered_before_;
}

const HttpLimits& Exchange::limits() const { return connection_.limits_; }

size_t Exchange::MaxBodyBytes() const {
  if (!head_.has_body()) return 0;
  return std::min<uint64_t>(head_.content_length.value_or(limits().body_bytes), limits().body_bytes);
}

asio::awaitable<std::optional<Exchange::RawBody>> Exchange::ReadRawBody() {
  body_read_ = true;
  if (!head_.has_body()) co_return RawBody();
  std::optional<Rule> refusal;
  const Encoding encoding = EncodingOf(head_);
  if (encoding == Encoding::kOther) refusal = Rule::kContentEncoding;
  std::optional<std::string> body;
  if (!refusal) body = co_await connection_.ReadRawBody(refusal);
  if (refusal) {
    body_read_ = false;  // what is left of it on the wire ends the connection
    co_await Refuse(*refusal);
    co_return std::nullopt;
  }
  if (!body) {
    connection_.transport_->Close(absl::CancelledError("the client left within the body"));
    co_return std::nullopt;
  }
  RawBody raw{*std::move(body), encoding == Encoding::kGzip};
  co_return std::move(raw);
}

asio::awaitable<std::optional<std::string>> Exchange::ReadBody() {
  std::optional<RawBody> body = co_await ReadRawBody();
  if (!body) co_return std::nullopt;
  if (!body->gzip) co_return std::move(body->bytes);
  absl::StatusOr<std::string> inflated = Gunzip(body->bytes, limits().inflated_body_bytes);
  if (inflated.ok()) co_return *std::move(inflated);
  co_await Refuse(RuleOfGunzip(inflated.status()));
  co_return std::nullopt;
}

asio::awaitable<void> Exchange::Refuse(Rule rule) {
  connection_.metrics_.CountRefusal(rule);
  return Send(RefusalReply(rule));
}

void Exchange::OnGone(std::function<void()> gone_callback) {
  Transport& transport = *connection_.transport_;
  if (gone()) return gone_callback();
  transport.set_on_end(std::move(gone_callback));
  transport.Watch();
}

void Exchange::ForgetGone() { connection_.transport_->set_on_end(nullptr); }

asio::awaitable<void> Exchange::Send(Reply reply, std::vector<Mark> marks) {
  Transport& transport = *connection_.transport_;
  if (std::exchange(answered_, true) || gone()) co_return;
  Headers headers = std::move(reply.headers);
  headers.emplace_back("content-type", reply.content_type);
  headers.emplace_back("content-length", std::to_string(reply.body.size()));
  connection_.QueueHead(*this, reply.status, headers, body_read_ || !head_.has_body());
  transport.out().StartFrames(false);
  const std::string_view body = reply.body;
  size_t begin = 0;
  for (const Mark& mark : marks) {
    transport.out().AppendFrame(body.substr(begin, mark.end - begin), mark.units);
    begin = mark.end;
  }
  transport.out().AppendFrame(body.substr(begin), 0);
  transport.Pump();
  co_await transport.Flush();
}

void Exchange::StartStream(Headers headers) {
  if (std::exchange(answered_, true) || gone()) return;
  stream_started_ = true;
  Transport& transport = *connection_.transport_;
  const bool chunked = head_.minor_version == 1;
  headers.emplace_back("content-type", "text/event-stream; charset=utf-8");
  headers.emplace_back("cache-control", "no-cache");
  headers.emplace_back("x-accel-buffering", "no");
  if (chunked) headers.emplace_back("transfer-encoding", "chunked");
  connection_.QueueHead(*this, 200, headers, chunked && (body_read_ || !head_.has_body()));
  transport.out().StartFrames(chunked);
  transport.SetKeepAlive(true);
}

void Exchange::Append(std::string_view frame, uint32_t units) {
  if (stream_started_ && !stream_finished_ && !gone())
    connection_.transport_->out().AppendFrame(frame, units);
}

asio::awaitable<absl::Status> Exchange::SendFrames() {
  Transport& transport = *connection_.transport_;
  transport.Pump();
  if (transport.out().over_bounds()) co_await transport.Room();
  co_return transport.status();
}

asio::awaitable<absl::Status> Exchange::Finish() {
  Transport& transport = *connection_.transport_;
  if (stream_started_ && !std::exchange(stream_finished_, true)) {
    transport.SetKeepAlive(false);
    transport.out().EndFrames();
    transport.Pump();
    co_await transport.Flush();
  }
  co_return transport.status();
}

}  // namespace quire::http
