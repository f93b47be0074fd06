#include "gateway/api/pipeline/pipeline.h"

#include <utility>

#include "base/async/mailbox.h"
#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/answer.h"
#include "gateway/api/pipeline/plan.h"

namespace quire::gateway {
namespace {

using boost::asio::awaitable;

bool IsLoading(const std::optional<CatalogModel>& model) {
  return model && model->text == nullptr && !model->failed;
}

}  // namespace

std::optional<http::ApiError> Pipeline::Overrun(const v1::KeyFact& key) const {
  if (services_.CoordinatorIsGone(services_.clock.NowUs())) return FromStatus(NobodyAdmits());
  if (services_.ledger.accountant().backlogged()) return LedgerBehind();
  if (abandonments_.Spent(key.key_id(), services_.clock.NowUs())) return TooManyAbandoned();
  return std::nullopt;
}

ApiResult<Newcomer> Pipeline::Enter(Facts::Key key) const {
  if (key == nullptr) return authenticator_.Refusal();
  if (auto overrun = Overrun(*key)) return *std::move(overrun);
  auto entered = intake_.Enter(key->key_id(), key->account_id());
  if (auto* error = std::get_if<http::ApiError>(&entered)) return std::move(*error);
  auto owner = std::make_shared<JobOwner>(key->account_id());
  return Newcomer{.key = std::move(key),
                  .visit = std::get<std::shared_ptr<Intake::Visit>>(std::move(entered)),
                  .owner = std::move(owner)};
}

awaitable<ApiResult<Prepared>> Pipeline::Prepare(const Newcomer& newcomer, const RequestId& id,
                                                 std::string body, ParseBody parse) const {
  if (auto error = newcomer.visit->Resize(body.size())) co_return *std::move(error);
  // What is queued holds the visit: its bytes are there until it was begun or dropped.
  auto read = [body = std::move(body), visit = newcomer.visit, parse] { return parse(body); };
  ApiResult<DoorRequest> parsed =
      co_await text_threads_.Run(newcomer.visit->bytes(), newcomer.owner, std::move(read));
  if (auto* error = std::get_if<http::ApiError>(&parsed)) co_return std::move(*error);
  DoorRequest& request = std::get<DoorRequest>(parsed);
  ApiResult<CatalogModel> model = co_await FindModel(newcomer, request.sampling.model);
  if (auto* error = std::get_if<http::ApiError>(&model)) co_return std::move(*error);

  Prepared prepared{.plan = {}, .writer = nullptr, .stream = request.stream};
  const bool holds = !request.stream || request.repeats;
  prepared.writer = request.make_writer({.id = id,
                                         .model = request.sampling.model,
                                         .created_unix_s = services_.clock.UnixMs() / 1000,
                                         .choices = request.sampling.choices,
                                         .logprobs = request.sampling.logprobs,
                                         .text = std::get<CatalogModel>(model).text});
  auto encode = [request = std::move(request), model = std::get<CatalogModel>(std::move(model)), newcomer,
                 id]() mutable {
    return PlanGeneration(request.sampling, std::move(request.prompt), model, *newcomer.key, id,
                          [&] { return newcomer.owner->gone(); });
  };
  ApiResult<GenerationRequest> plan =
      co_await text_threads_.Run(newcomer.visit->bytes(), newcomer.owner, std::move(encode));
  if (auto* error = std::get_if<http::ApiError>(&plan)) co_return std::move(*error);
  if (newcomer.owner->gone()) co_return ClientLeft();
  prepared.plan = std::get<GenerationRequest>(std::move(plan));
  if (holds) {
    if (auto error = CheckHeld(prepared.plan)) co_return *std::move(error);
  }
  prepared.plan.until_admitted = newcomer.visit;
  co_return std::move(prepared);
}

awaitable<ApiResult<CatalogModel>> Pipeline::FindModel(const Newcomer& newcomer, std::string name) const {
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

awaitable<std::optional<CatalogModel>> Pipeline::AwaitText(const Newcomer& newcomer, std::string name) const {
  using std::chrono::steady_clock, std::chrono::milliseconds;
  const steady_clock::time_point end = steady_clock::now() + load_patience_;
  auto loaded = std::make_shared<Mailbox<bool>>();
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

awaitable<void> Pipeline::Serve(Prepared prepared, Sink& sink, http::RequestRecord& record) const {
  const std::string key_id = prepared.plan.key_id;
  Generation generation(services_, std::move(prepared.plan));
  sink.OnGone([&generation] { generation.Abort(); });
  co_await Answer(generation, *prepared.writer, sink, record);
  generation.Describe(record);
  if (generation.abandoned()) abandonments_.Spend(key_id, services_.clock.NowUs());
}

}  // namespace quire::gateway
