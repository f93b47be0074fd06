#include "gateway/api/chat_handler.h"

#include <utility>

#include "gateway/api/chat_plan.h"
#include "gateway/api/error_response.h"

namespace quire::gateway {
namespace {

using boost::asio::awaitable;

// A stream that has waited this long gets its headers, and keep-alive comments from then on.
constexpr std::chrono::seconds kHeadersAfter{10};
// A model that has just appeared: its text files take a moment to load.
constexpr std::chrono::seconds kLoadPatience{10};

http::ApiError ErrorOf(const Ending& ending) {
  return ending.kind == Ending::Kind::kRefused ? FromRefusal(ending.refusal) : FromStatus(ending.error);
}

bool IsErrorAlone(const Step& step) { return step.pieces.empty() && step.ending && step.ending->is_error(); }

std::optional<http::ApiError> WhyNot(const std::optional<CatalogModel>& model, const v1::KeyFact& key) {
  if (!model) return UnknownModel();
  if (!MayUseModel(key, model->fact->model())) return ModelNotAllowed();
  if (model->text == nullptr) return ModelLoading();
  return std::nullopt;
}

std::string LastFrames(const Ending& ending, const ChatFrames& frames, const Usage& usage) {
  if (ending.is_error()) return ChatFrames::Error(ErrorOf(ending));
  return frames.End(NameOf(ending.kind), usage);
}

}  // namespace

awaitable<void> ChatHandler::Handle(http::Exchange& exchange) const {
  const Facts::Key key = authenticator_.Check(exchange.head());
  if (key == nullptr) co_return co_await exchange.Send(http::ErrorReply(authenticator_.Refusal()));
  std::optional<std::string> body = co_await exchange.ReadBody();
  if (!body) co_return;
  const size_t bytes = body->size();
  auto parse = [body = *std::move(body)] { return ParseChatRequest(body); };
  ApiResult<ChatRequest> parsed = co_await text_threads_.Run(bytes, std::move(parse));
  if (auto* error = std::get_if<http::ApiError>(&parsed))
    co_return co_await exchange.Send(http::ErrorReply(*error));

  ChatRequest& request = std::get<ChatRequest>(parsed);
  const bool stream = request.stream;
  const std::optional<CatalogModel> model = co_await FindModel(request.model);
  if (const auto error = WhyNot(model, *key)) co_return co_await exchange.Send(http::ErrorReply(*error));
  ChatFrames frames(exchange.id(), request.model, services_.clock.UnixMs() / 1000, request.usage_frames);
  auto encode = [request = std::move(request), model = *model, key, id = exchange.id()]() mutable {
    return PlanChat(std::move(request), model, *key, id);
  };
  ApiResult<GenerationRequest> plan = co_await text_threads_.Run(bytes, std::move(encode));
  if (auto* error = std::get_if<http::ApiError>(&plan))
    co_return co_await exchange.Send(http::ErrorReply(*error));

  Generation generation(services_, std::get<GenerationRequest>(std::move(plan)));
  exchange.OnGone([&generation] { generation.Abort(); });
  if (stream) {
    co_await AnswerStream(exchange, generation, frames);
  } else {
    co_await AnswerWhole(exchange, generation, frames);
  }
}

awaitable<std::optional<CatalogModel>> ChatHandler::FindModel(std::string name) const {
  std::optional<CatalogModel> model = catalog_.Find(name);
  if (!model || model->text != nullptr) co_return model;
  auto loaded = std::make_shared<http::Mailbox<bool>>();
  catalog_.AfterNextLoad([loaded] { loaded->Push(true); });
  model = catalog_.Find(name);  // it may have come just before
  if (!model || model->text != nullptr) co_return model;
  co_await loaded->WaitFor(kLoadPatience);
  co_return catalog_.Find(name);
}

awaitable<void> ChatHandler::AnswerStream(http::Exchange& exchange, Generation& generation,
                                          ChatFrames& frames) const {
  Step step = co_await generation.Next(kHeadersAfter);
  if (IsErrorAlone(step)) co_return co_await exchange.Send(http::ErrorReply(ErrorOf(*step.ending)));
  exchange.StartStream();
  bool role_sent = false;
  while (!exchange.gone()) {
    const bool answers = !step.pieces.empty() || (step.ending && !step.ending->is_error());
    if (answers && !std::exchange(role_sent, true)) exchange.Append(frames.Role());
    for (const Piece& piece : step.pieces) exchange.Append(frames.Text(piece.text), piece.positions);
    if (step.ending) {
      const Usage usage = generation.UsageAtEnd();
      exchange.Append(LastFrames(*step.ending, frames, usage), step.ending->positions);
      (co_await exchange.Finish()).IgnoreError();  // the client has left: nobody to tell
      break;
    }
    if (!(co_await exchange.SendFrames()).ok()) break;
    generation.Written(exchange.delivered_units());
    step = co_await generation.Next();
  }
  generation.Written(exchange.delivered_units());
}

awaitable<void> ChatHandler::AnswerWhole(http::Exchange& exchange, Generation& generation,
                                         ChatFrames& frames) const {
  std::string text;
  uint32_t positions = 0;
  std::optional<Ending> ending;
  while (!ending && !exchange.gone()) {
    Step step = co_await generation.Next();
    for (const Piece& piece : step.pieces) {
      text += piece.text;
      positions += piece.positions;
    }
    ending = std::move(step.ending);
  }
  if (!ending) co_return;
  if (ending->is_error()) co_return co_await exchange.Send(http::ErrorReply(ErrorOf(*ending)));
  positions += ending->positions;
  http::Reply reply;
  reply.body = frames.Whole(text, NameOf(ending->kind), generation.UsageAtEnd());
  co_await exchange.Send(std::move(reply), positions);
  generation.Written(exchange.delivered_units());
}

}  // namespace quire::gateway
