#include "gateway/api/pipeline/http_door.h"

#include <algorithm>
#include <utility>

#include "base/http/inflate.h"
#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/http_sinks.h"

namespace quire::gateway {
namespace {

using boost::asio::awaitable;

// A body counts as it comes, in steps of this: who only says that one will come holds nothing.
constexpr size_t kIntakeStepBytes = 64 << 10;

std::optional<http::ApiError> HoldBody(Intake::Visit& visit, size_t bytes, size_t most) {
  if (bytes <= visit.bytes()) return std::nullopt;
  const size_t steps = (bytes + kIntakeStepBytes - 1) / kIntakeStepBytes;
  return visit.Resize(std::min(steps * kIntakeStepBytes, most));
}

}  // namespace

awaitable<void> HttpDoor::Handle(http::Exchange& exchange) const {
  if (const auto* parse = std::get_if<ParseQuestion>(&parse_)) co_return co_await Tell(exchange, *parse);
  ApiResult<Prepared> prepared = co_await Prepare(exchange);
  if (auto* error = std::get_if<http::ApiError>(&prepared)) co_return co_await exchange.SendError(*error);
  co_await Answer(exchange, std::get<Prepared>(std::move(prepared)));
}

awaitable<void> HttpDoor::Answer(http::Exchange& exchange, Prepared request) const {
  if (request.stream) {
    HttpStreamSink sink(exchange);
    co_await pipeline_.Serve(std::move(request), sink, exchange.record());
  } else {
    HttpWholeSink sink(exchange);
    co_await pipeline_.Serve(std::move(request), sink, exchange.record());
  }
}

awaitable<void> HttpDoor::Tell(http::Exchange& exchange, ParseQuestion parse) const {
  ApiResult<Received> received = co_await Receive(exchange);
  if (auto* error = std::get_if<http::ApiError>(&received)) co_return co_await exchange.SendError(*error);
  Received& question = std::get<Received>(received);
  ApiResult<std::string> answer = co_await pipeline_.Ask(question.newcomer, std::move(question.body), parse);
  if (auto* error = std::get_if<http::ApiError>(&answer)) co_return co_await exchange.SendError(*error);
  http::Reply reply;
  reply.body = std::get<std::string>(std::move(answer));
  co_await exchange.Send(std::move(reply));
}

awaitable<ApiResult<Prepared>> HttpDoor::Prepare(http::Exchange& exchange) const {
  ApiResult<Received> received = co_await Receive(exchange);
  if (auto* error = std::get_if<http::ApiError>(&received)) co_return std::move(*error);
  Received& request = std::get<Received>(received);
  Pipeline::Parser<DoorRequest> parse;
  if (const auto* named = std::get_if<ParseBodyFor>(&parse_)) {
    parse = [named = *named, model = exchange.tail()](std::string_view body) { return named(body, model); };
  } else {
    parse = std::get<ParseBody>(parse_);
  }
  co_return co_await pipeline_.Prepare(request.newcomer, exchange.id(), std::move(request.body),
                                       std::move(parse));
}

awaitable<ApiResult<HttpDoor::Received>> HttpDoor::Receive(http::Exchange& exchange) const {
  ApiResult<Newcomer> entered = pipeline_.Enter(pipeline_.authenticator().Identify(exchange));
  if (auto* error = std::get_if<http::ApiError>(&entered)) co_return std::move(*error);
  const Newcomer newcomer = std::get<Newcomer>(std::move(entered));
  ApiResult<std::string> body = co_await ReadBody(exchange, newcomer);
  if (auto* error = std::get_if<http::ApiError>(&body)) co_return std::move(*error);
  co_return Received{newcomer, std::get<std::string>(std::move(body))};
}

awaitable<ApiResult<std::string>> HttpDoor::ReadBody(http::Exchange& exchange,
                                                     const Newcomer& newcomer) const {
  std::optional<http::ApiError> no_room;
  http::Exchange::MayHold may_hold = [&](size_t bytes) {
    no_room = HoldBody(*newcomer.visit, bytes, exchange.MaxBodyBytes());
    return !no_room;
  };
  std::optional<http::Exchange::RawBody> raw = co_await exchange.ReadRawBody(std::move(may_hold));
  if (!raw) co_return no_room.value_or(ClientLeft());
  exchange.OnGone([owner = newcomer.owner] { owner->Leave(); });
  if (!raw->gzip) co_return std::move(raw->bytes);
  co_return co_await Inflate(exchange, newcomer, std::move(raw->bytes));
}

awaitable<ApiResult<std::string>> HttpDoor::Inflate(http::Exchange& exchange, const Newcomer& newcomer,
                                                    std::string compressed) const {
  using Inflated = absl::StatusOr<std::string>;
  auto inflate = [compressed = std::move(compressed), newcomer,
                  limit = exchange.limits().inflated_body_bytes]() -> ApiResult<Inflated> {
    return http::Gunzip(compressed, limit);
  };
  ApiResult<Inflated> result =
      co_await pipeline_.text_threads().Run(TextThreads::kAlwaysLarge, newcomer.owner, std::move(inflate));
  if (auto* error = std::get_if<http::ApiError>(&result)) co_return std::move(*error);
  Inflated& inflated = std::get<Inflated>(result);
  if (inflated.ok()) co_return *std::move(inflated);
  co_await exchange.Refuse(http::RuleOfGunzip(inflated.status()));
  co_return ClientLeft();
}

}  // namespace quire::gateway
