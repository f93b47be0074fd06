// What every request goes through, whichever door it came in by: who asks and whether there is room for it,
// its body parsed, its model found, its prompt encoded, and then its answer. A door gives the body, a parser,
// and a sink (http_door.h). One for the gateway, shared by all connections; each call is a coroutine on its
// request's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/budgets.h"
#include "gateway/api/authenticator.h"
#include "gateway/api/intake.h"
#include "gateway/api/pipeline/door_request.h"
#include "gateway/api/pipeline/question.h"
#include "gateway/api/text_threads.h"
#include "gateway/generation/generations.h"
#include "gateway/generation/model_catalog.h"

namespace quire::gateway {

// A request on its way to its Admit.
struct Newcomer {
  Facts::Key key;
  std::shared_ptr<Intake::Visit> visit;
  std::shared_ptr<JobOwner> owner;  // Leave() it as soon as its client has left
};

// A request that may be admitted.
struct Prepared {
  std::vector<GenerationRequest> plans;  // one for each of its prompts
  std::unique_ptr<AnswerWriter> writer;
  bool stream = false;
  std::optional<http::HttpsUrl> webhook = {};
};

class Pipeline {
 public:
  template <typename Request>
  using Parser = std::function<ApiResult<Request>(std::string_view body)>;

  // A model that has just appeared: its text files take a moment to load.
  static constexpr std::chrono::milliseconds kLoadPatience{10'000};

  // All must outlive it. `abandonments`: by key, of requests that were sent and left before they cost
  // anything.
  Pipeline(const Authenticator& authenticator, ModelCatalog& catalog, Intake& intake, Budgets& abandonments,
           TextThreads& text_threads, const GenerationServices& services,
           std::chrono::milliseconds load_patience = kLoadPatience)
      : authenticator_(authenticator),
        catalog_(catalog),
        intake_(intake),
        abandonments_(abandonments),
        text_threads_(text_threads),
        services_(services),
        load_patience_(load_patience) {}

  const Authenticator& authenticator() const { return authenticator_; }
  TextThreads& text_threads() const { return text_threads_; }

  // By what can be said before the body is read. `key`: as the authenticator found it, null for nobody.
  ApiResult<Newcomer> Enter(Facts::Key key) const;
  // From the body to the plans. Where the client left, the error is nobody's.
  boost::asio::awaitable<ApiResult<Prepared>> Prepare(const Newcomer& newcomer, const RequestId& id,
                                                      std::string body, Parser<DoorRequest> parse) const;
  // From the body to the reply's, where a model's text says all. The same of a client that left.
  boost::asio::awaitable<ApiResult<std::string>> Ask(const Newcomer& newcomer, std::string body,
                                                     ParseQuestion parse) const;
  // Admission, and the answer to its end; `record` then tells of it.
  boost::asio::awaitable<void> Serve(Prepared prepared, Sink& sink, http::RequestRecord& record) const;

 private:
  std::optional<http::ApiError> Overrun(const v1::KeyFact& key) const;
  // What is read of the body, on the text threads.
  template <typename Request>
  boost::asio::awaitable<ApiResult<Request>> Read(const Newcomer& newcomer, std::string body,
                                                  Parser<Request> parse) const;
  boost::asio::awaitable<ApiResult<CatalogModel>> FindModel(const Newcomer& newcomer, std::string name) const;
  // As it is when its text was loaded or could not be, or when patience, or the client's, has ended.
  boost::asio::awaitable<std::optional<CatalogModel>> AwaitText(const Newcomer& newcomer,
                                                                std::string name) const;

  const Authenticator& authenticator_;
  ModelCatalog& catalog_;
  Intake& intake_;
  Budgets& abandonments_;
  TextThreads& text_threads_;
  const GenerationServices& services_;
  const std::chrono::milliseconds load_patience_;
};

}  // namespace quire::gateway
