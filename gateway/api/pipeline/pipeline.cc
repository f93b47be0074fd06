#include "gateway/api/pipeline/pipeline.h"

#include <exception>
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

ApiResult<Prepared> Plan(DoorRequest request, AnswerHead head, const CatalogModel& model,
                         const Newcomer& newcomer) {
  std::vector<Prompt> prompts = std::move(request.more_prompts);
  prompts.insert(prompts.begin(), std::move(request.prompt));
  ApiResult<std::vector<GenerationRequest>> plans =
      PlanGenerations(request.sampling, std::move(prompts), model, *newcomer.key, head.id,
                      [&] { return newcomer.owner->gone(); });
  if (auto* error = std::get_if<http::ApiError>(&plans)) return std::move(*error);
  Prepared prepared{.plans = std::get<std::vector<GenerationRequest>>(std::move(plans)),
                    .writer = nullptr,
                    .stream = request.stream,
                    .webhook = std::move(request.webhook)};
  if (!prepared.stream || request.repeats) {
    const Holding holding = prepared.stream ? Holding::kRepeated : Holding::kWhole;
    if (auto error = CheckHeld(prepared.plans, request.sampling, holding)) return *std::move(error);
  }
  if (auto error = CheckScored(prepared.plans)) return *std::move(error);
  for (GenerationRequest& plan : prepared.plans) plan.until_admitted = newcomer.visit;
  prepared.writer = request.make_writer(std::move(head));
  return prepared;
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

template <typename Request>
awaitable<ApiResult<Request>> Pipeline::Read(const Newcomer& newcomer, std::string body,
                                             Parser<Request> parse) const {
  if (auto error = newcomer.visit->Resize(body.size())) co_return *std::move(error);
  // What is queued holds the visit: its bytes are there until it was begun or dropped.
  auto read = [body = std::move(body), visit = newcomer.visit, parse = std::move(parse)] {
    return parse(body);
  };
  co_return co_await text_threads_.Run(newcomer.visit->bytes(), newcomer.owner, std::move(read));
}

awaitable<ApiResult<Prepared>> Pipeline::Prepare(const Newcomer& newcomer, const RequestId& id,
                                                 std::string body, Parser<DoorRequest> parse) const {
  ApiResult<DoorRequest> parsed = co_await Read<DoorRequest>(newcomer, std::move(body), std::move(parse));
  if (auto* error = std::get_if<http::ApiError>(&parsed)) co_return std::move(*error);
  DoorRequest& request = std::get<DoorRequest>(parsed);
  ApiResult<CatalogModel> model = co_await FindModel(newcomer, request.sampling.model);
  if (auto* error = std::get_if<http::ApiError>(&model)) co_return std::move(*error);

  const auto prompts = static_cast<uint32_t>(1 + request.more_prompts.size());
  AnswerHead head{.id = id,
                  .model = request.sampling.model,
                  .created_unix_s = services_.clock.UnixMs() / 1000,
                  .choices = prompts * request.sampling.choices,
                  .logprobs = request.sampling.logprobs,
                  .text = std::get<CatalogModel>(model).text};
  auto plan = [request = std::move(request), head = std::move(head),
               model = std::get<CatalogModel>(std::move(model)),
               newcomer]() mutable { return Plan(std::move(request), std::move(head), model, newcomer); };
  ApiResult<Prepared> prepared =
      co_await text_threads_.Run(newcomer.visit->bytes(), newcomer.owner, std::move(plan));
  if (newcomer.owner->gone()) co_return ClientLeft();
  co_return std::move(prepared);
}

awaitable<ApiResult<std::string>> Pipeline::Ask(const Newcomer& newcomer, std::string body,
                                                ParseQuestion parse) const {
  ApiResult<Question> parsed = co_await Read<Question>(newcomer, std::move(body), parse);
  if (auto* error = std::get_if<http::ApiError>(&parsed)) co_return std::move(*error);
  Question& question = std::get<Question>(parsed);
  ApiResult<CatalogModel> model = co_await FindModel(newcomer, question.model);
  if (auto* error = std::get_if<http::ApiError>(&model)) co_return std::move(*error);
  auto answer = [question = std::move(question), model = std::get<CatalogModel>(std::move(model)), newcomer] {
    return question.answer(model, [&] { return newcomer.owner->gone(); });
  };
  co_return co_await text_threads_.Run(newcomer.visit->bytes(), newcomer.owner, std::move(answer));
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
  const std::string key_id = prepared.plans.front().key_id;
  Generations generations(services_, std::move(prepared.plans));
  sink.OnGone([&generations] { generations.Abort(); });
  std::exception_ptr thrown;
  try {
    co_await Answer(generations, *prepared.writer, sink, record);
  } catch (...) {
    thrown = std::current_exception();
  }
  co_await generations.End();
  if (thrown != nullptr) std::rethrow_exception(thrown);
  generations.Describe(record);
  const size_t abandoned = generations.abandoned();
  for (size_t i = 0; i < abandoned; ++i) abandonments_.Spend(key_id, services_.clock.NowUs());
}

}  // namespace quire::gateway
