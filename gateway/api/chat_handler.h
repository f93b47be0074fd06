// POST /v1/chat/completions: the whole story of a chat request, from its head to its last frame. One for the
// gateway, shared by all connections; each call of Handle is a coroutine on its connection's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>

#include "base/core/budgets.h"
#include "base/http/exchange.h"
#include "gateway/api/authenticator.h"
#include "gateway/api/chat_frames.h"
#include "gateway/api/chat_request.h"
#include "gateway/api/intake.h"
#include "gateway/api/text_threads.h"
#include "gateway/generation/generation.h"
#include "gateway/generation/model_catalog.h"

namespace quire::gateway {

class ChatHandler {
 public:
  // A model that has just appeared: its text files take a moment to load.
  static constexpr std::chrono::milliseconds kLoadPatience{10'000};

  // All must outlive it.
  ChatHandler(const Authenticator& authenticator, ModelCatalog& catalog, Intake& intake,
              Budgets& abandonments, TextThreads& text_threads, const GenerationServices& services,
              std::chrono::milliseconds load_patience = kLoadPatience)
      : authenticator_(authenticator),
        catalog_(catalog),
        intake_(intake),
        abandonments_(abandonments),
        text_threads_(text_threads),
        services_(services),
        load_patience_(load_patience) {}

  boost::asio::awaitable<void> Handle(http::Exchange& exchange) const;

 private:
  // A request on its way to its Admit.
  struct Newcomer {
    Facts::Key key;
    std::shared_ptr<Intake::Visit> visit;
    std::shared_ptr<JobOwner> owner;
  };
  // A request that may be admitted.
  struct Prepared {
    ChatFrames frames;
    bool stream;
    GenerationRequest plan;
  };

  // By what can be said before the body is read.
  std::optional<http::ApiError> Overrun(const v1::KeyFact& key) const;
  // From the head to the plan. Where the client left or was answered, the error is nobody's.
  boost::asio::awaitable<ApiResult<Prepared>> Prepare(http::Exchange& exchange) const;
  boost::asio::awaitable<ApiResult<ChatRequest>> ReadRequest(http::Exchange& exchange,
                                                             const Newcomer& newcomer) const;
  boost::asio::awaitable<ApiResult<std::string>> Inflate(http::Exchange& exchange, const Newcomer& newcomer,
                                                         std::string compressed) const;
  boost::asio::awaitable<ApiResult<CatalogModel>> FindModel(const Newcomer& newcomer, std::string name) const;
  // As it is when its text was loaded or could not be, or when patience, or the client's, has ended.
  boost::asio::awaitable<std::optional<CatalogModel>> AwaitText(const Newcomer& newcomer,
                                                                std::string name) const;
  boost::asio::awaitable<void> AnswerStream(http::Exchange& exchange, Generation& generation,
                                            ChatFrames& frames) const;
  boost::asio::awaitable<void> AnswerWhole(http::Exchange& exchange, Generation& generation,
                                           ChatFrames& frames) const;

  const Authenticator& authenticator_;
  ModelCatalog& catalog_;
  Intake& intake_;
  Budgets& abandonments_;  // by key: requests that were sent and left before they cost anything
  TextThreads& text_threads_;
  const GenerationServices& services_;
  const std::chrono::milliseconds load_patience_;
};

}  // namespace quire::gateway
