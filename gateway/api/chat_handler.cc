#include "gateway/api/chat_handler.h"

#include <algorithm>
#include <utility>

#include "base/core/json_text.h"
#include "base/http/inflate.h"
#include "gateway/api/chat_plan.h"
#include "gateway/api/error_response.h"

namespace quire::gateway {
namespace {

using boost::asio::awaitable;

// A stream gets its headers with the grant, or when it has waited this long, and keep-alive comments from
// then on.
constexpr std::chrono::seconds kHeadersAfter{10};

http::ApiError ErrorOf(const Ending& ending) {
  return ending.kind == Ending::Kind::kRefused ? FromRefusal(ending.refusal) : FromStatus(ending.error);
}

// A body counts as it comes, in steps of this: who only says that one will come holds nothing.
constexpr size_t kIntakeStepBytes = 64 << 10;

std::optional<http::ApiError> HoldBody(Intake::Visit& visit, size_t bytes, size_t most) {
  if (bytes <= visit.bytes()) return std::nullopt;
  const size_t steps = (bytes + kIntakeStepBytes - 1) / kIntakeStepBytes;
  return visit.Resize(std::min(steps * kIntakeStepBytes, most));
}

bool IsLoading(const std::optional<CatalogModel>& model) {
  return model && model->text == nullptr && !model->failed;
}

bool IsErrorAlone(const Step& step) { return step.pieces.empty() && step.ending && step.ending->is_error(); }

// The two that the API knows: an answer that the spend cap ended is cut like one that max_tokens ended.
const char* FinishReasonOf(Ending::Kind kind) {
  return NameOf(kind == Ending::Kind::kBudget ? Ending::Kind::kLength : kind);
}

std::string EndOf(const Ending& ending, const ChatFrames& frames, const Usage& usage) {
  if (ending.is_error()) return ChatFrames::Error(ErrorOf(ending));
  return frames.End(FinishReasonOf(ending.kind), usage);
}

}  // namespace

awaitable<void> ChatHandler::Handle(http::Exchange& exchange) const {
  ApiResult<Prepared> prepared = co_await Prepare(exchange);
  if (auto* error = std::get_if<http::ApiError>(&prepared))
    co_return co_await exchange.Send(http::ErrorReply(*error));
  Prepared& request = std::get<Prepared>(prepared);
  Generation generation(services_, std::move(request.plan));
  exchange.OnGone([&generation] { generation.Abort(); });
  if (request.stream) {
    co_await AnswerStream(exchange, generation, request.frames);
  } else {
    co_await AnswerWhole(exchange, generation, request.frames);
  }
  generation.Describe(exchange.record());
  if (generation.abandoned()) abandonments_.Spend(exchange.record().key_id, services_.clock.NowUs());
}

std::optional<http::ApiError> ChatHandler::Overrun(const v1::KeyFact& key) const {
  if (services_.CoordinatorIsGone(services_.clock.NowUs())) return FromStatus(NobodyAdmits());
  if (services_.ledger.accountant().backlogged()) return LedgerBehind();
  if (abandonments_.Spent(key.key_id(), services_.clock.NowUs())) return TooManyAbandoned();
  return std::nullopt;
}

awaitable<ApiResult<ChatHandler::Prepared>> ChatHandler::Prepare(http::Exchange& exchange) const {
  Newcomer newcomer{.key = authenticator_.Identify(exchange), .visit = nullptr, .owner = nullptr};
  if (newcomer.key == nullptr) co_return authenticator_.Refusal();
  if (auto overrun = Overrun(*newcomer.key)) co_return *std::move(overrun);
  auto entered = intake_.Enter(newcomer.key->key_id(), newcomer.key->account_id());
  if (auto* error = std::get_if<http::ApiError>(&entered)) co_return std::move(*error);
  newcomer.visit = std::get<std::shared_ptr<Intake::Visit>>(std::move(entered));
  newcomer.owner = std::make_shared<JobOwner>(newcomer.key->account_id());

  ApiResult<ChatRequest> parsed = co_await ReadRequest(exchange, newcomer);
  if (auto* error = std::get_if<http::ApiError>(&parsed)) co_return std::move(*error);
  ChatRequest& request = std::get<ChatRequest>(parsed);
  ApiResult<CatalogModel> model = co_await FindModel(newcomer, request.model);
  if (auto* error = std::get_if<http::ApiError>(&model)) co_return std::move(*error);

  const bool stream = request.stream;
  ChatFrames frames(exchange.id(), request.model, services_.clock.UnixMs() / 1000, request.usage_frames);
  auto encode = [request = std::move(request), model = std::get<CatalogModel>(std::move(model)), newcomer,
                 id = exchange.id()]() mutable {
    return PlanChat(std::move(request), model, *newcomer.key, id, [&] { return newcomer.owner->gone(); });
  };
  ApiResult<GenerationRequest> plan =
      co_await text_threads_.Run(newcomer.visit->bytes(), newcomer.owner, std::move(encode));
  if (auto* error = std::get_if<http::ApiError>(&plan)) co_return std::move(*error);
  if (exchange.gone()) co_return ClientLeft();
  std::get<GenerationRequest>(plan).until_admitted = newcomer.visit;
  Prepared prepared{std::move(frames), stream, std::get<GenerationRequest>(std::move(plan))};
  co_return std::move(prepared);
}

awaitable<ApiResult<ChatRequest>> ChatHandler::ReadRequest(http::Exchange& exchange,
                                                           const Newcomer& newcomer) const {
  std::optional<http::ApiError> no_room;
  http::Exchange::MayHold may_hold = [&](size_t bytes) {
    no_room = HoldBody(*newcomer.visit, bytes, exchange.MaxBodyBytes());
    return !no_room;
  };
  std::optional<http::Exchange::RawBody> raw = co_await exchange.ReadRawBody(std::move(may_hold));
  if (!raw) co_return no_room.value_or(ClientLeft());
  exchange.OnGone([owner = newcomer.owner] { owner->Leave(); });
  std::string body = std::move(raw->bytes);
  if (raw->gzip) {
    ApiResult<std::string> inflated = co_await Inflate(exchange, newcomer, std::move(body));
    if (auto* error = std::get_if<http::ApiError>(&inflated)) co_return std::move(*error);
    body = std::get<std::string>(std::move(inflated));
  }
  if (auto error = newcomer.visit->Resize(body.size())) co_return *std::move(error);
  // What is queued holds the visit: its bytes are there until it was begun or dropped.
  auto parse = [body = std::move(body), visit = newcomer.visit] { return ParseChatRequest(body); };
  co_return co_await text_threads_.Run(newcomer.visit->bytes(), newcomer.owner, std::move(parse));
}

awaitable<ApiResult<std::string>> ChatHandler::Inflate(http::Exchange& exchange, const Newcomer& newcomer,
                                                       std::string compressed) const {
  using Inflated = absl::StatusOr<std::string>;
  auto inflate = [compressed = std::move(compressed), newcomer,
                  limit = exchange.limits().inflated_body_bytes]() -> ApiResult<Inflated> {
    return http::Gunzip(compressed, limit);
  };
  ApiResult<Inflated> result =
      co_await text_threads_.Run(TextThreads::kAlwaysLarge, newcomer.owner, std::move(inflate));
  if (auto* error = std::get_if<http::ApiError>(&result)) co_return std::move(*error);
  Inflated& inflated = std::get<Inflated>(result);
  if (inflated.ok()) co_return *std::move(inflated);
  co_await exchange.Refuse(http::RuleOfGunzip(inflated.status()));
  co_return ClientLeft();
}

awaitable<ApiResult<CatalogModel>> ChatHandler::FindModel(const Newcomer& newcomer, std::string name) const {
  // Before the catalog is asked: a name that the key may not use costs and answers the same whether there is
  // such a model or not.
  if (!MayUseModel(*newcomer.key, name)) co_return UnknownModel();
  std::optional<CatalogModel> model = catalog_.Find(name);
  if (IsLoading(model)) model = co_await AwaitText(newcomer, std::move(name));
  if (!model) co_return UnknownModel();
  if (model->failed) co_return ModelBroken();
  if (model->text == nullptr) co_return ModelLoading();
  co_return *std::move(model);
}

awaitable<std::optional<CatalogModel>> ChatHandler::AwaitText(const Newcomer& newcomer,
                                                              std::string name) const {
  using std::chrono::steady_clock, std::chrono::milliseconds;
  const steady_clock::time_point end = steady_clock::now() + load_patience_;
  auto loaded = std::make_shared<http::Mailbox<bool>>();
  newcomer.owner->WhenGone([loaded] { loaded->Push(true); });
  std::optional<CatalogModel> model;
  while (true) {
    catalog_.AfterNextLoad([loaded] { loaded->Push(true); });  // before the look, lest one ends in between
    model = catalog_.Find(name);
    const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
    if (!IsLoading(model) || left <= milliseconds(0) || newcomer.owner->gone()) break;
    co_await loaded->WaitFor(left);
  }
  newcomer.owner->WhenGone(nullptr);
  co_return model;
}

awaitable<void> ChatHandler::AnswerStream(http::Exchange& exchange, Generation& generation,
                                          ChatFrames& frames) const {
  Step step = co_await generation.UntilGranted(kHeadersAfter);
  if (IsErrorAlone(step)) co_return co_await exchange.Send(http::ErrorReply(ErrorOf(*step.ending)));
  exchange.StartStream();
  bool role_sent = false;
  while (!exchange.gone()) {
    const bool answers = !step.pieces.empty() || (step.ending && !step.ending->is_error());
    if (answers && !std::exchange(role_sent, true)) exchange.Append(frames.Role());
    for (const Piece& piece : step.pieces) exchange.Append(frames.Text(piece.text), piece.positions);
    if (step.ending) {
      const Usage usage = generation.UsageAtEnd();
      if (step.ending->is_error()) exchange.record().error = ErrorOf(*step.ending).code;
      std::string end = EndOf(*step.ending, frames, usage);
      for (const auto& frame : ChatFrames::CloseStream(std::move(end), step.ending->positions))
        exchange.Append(frame.bytes, frame.positions);
      (co_await exchange.Finish()).IgnoreError();  // the client has left: nobody to tell
      break;
    }
    if (!(co_await exchange.SendFrames()).ok()) break;
    generation.Written(exchange.delivered_units());
    step = co_await generation.Next();
  }
  generation.Written(exchange.delivered_units());
}

// The text leaves with marks at its tokens' ends: what a client got of an answer that broke off is billed.
awaitable<void> ChatHandler::AnswerWhole(http::Exchange& exchange, Generation& generation,
                                         ChatFrames& frames) const {
  http::Reply reply;
  reply.body = frames.WholeStart();
  std::vector<http::Exchange::Mark> marks;
  std::optional<Ending> ending;
  while (!ending && !exchange.gone()) {
    Step step = co_await generation.Next();
    if (!step.pieces.empty()) exchange.NoteFirstToken();
    for (const Piece& piece : step.pieces) {
      AppendJsonEscaped(piece.text, reply.body);
      marks.push_back({reply.body.size(), piece.positions});
    }
    ending = std::move(step.ending);
  }
  if (!ending) co_return;
  if (ending->is_error()) co_return co_await exchange.Send(http::ErrorReply(ErrorOf(*ending)));
  const Usage usage = generation.UsageAtEnd();
  for (const auto& frame : frames.CloseWhole(FinishReasonOf(ending->kind), usage, ending->positions)) {
    reply.body += frame.bytes;
    marks.push_back({reply.body.size(), frame.positions});
  }
  co_await exchange.Send(std::move(reply), std::move(marks));
  generation.Written(exchange.delivered_units());
}

}  // namespace quire::gateway
