// The generations that answer one request, one for each of its prompts: admitted, metered and settled each by
// itself, and one answer to its client. Lives in the request's coroutine, as a Generation does, and is used
// as one; where there are several, a coroutine for each (on the same thread) brings its steps here. A
// choice's number is over all: those of the first prompt, then those of the second. Always: only the first
// waits for room, and the others are asked for once it has its own (who waited while it holds what others
// want could wait for ever); nothing is handed out before all have their grant; one that fails ends them all;
// one ending comes out, last.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "base/async/mailbox.h"
#include "base/http/request_record.h"
#include "gateway/generation/generation.h"
#include "gateway/generation/generation_request.h"
#include "gateway/generation/step.h"

namespace quire::gateway {

class Generations {
 public:
  // Asks for the admission of the first at once. The requests, 1 or more, have the same number of choices.
  Generations(const GenerationServices& services, std::vector<GenerationRequest> requests);
  Generations(const Generations&) = delete;
  Generations& operator=(const Generations&) = delete;

  // As a Generation's; granted: all are.
  boost::asio::awaitable<Step> Next();
  boost::asio::awaitable<Step> UntilGranted(std::chrono::milliseconds limit);
  void Written(uint32_t choice, uint64_t positions);
  Usage UsageAtEnd() const;  // of all
  void Describe(http::RequestRecord& record) const;
  size_t abandoned() const;  // how many are
  void Abort();

  // What still runs ends, and nothing uses this any more. To be awaited before it is destroyed.
  boost::asio::awaitable<void> End();

 private:
  struct Fed {
    size_t index = 0;
    Step step = {};
    bool over = false;  // nothing more comes of it
    std::exception_ptr thrown = nullptr;
  };
  struct GoOn {};
  struct One {
    std::unique_ptr<Generation> generation;
    std::shared_ptr<Mailbox<GoOn>> go_on = std::make_shared<Mailbox<GoOn>>();  // its last step was taken
  };

  void Add(GenerationRequest request);
  boost::asio::awaitable<void> Feed(size_t index);
  boost::asio::awaitable<Step> FirstStep(size_t index);
  void StartFeeding(size_t index, const boost::asio::any_io_executor& executor);
  void AddOthers(const boost::asio::any_io_executor& executor);
  boost::asio::awaitable<Step> NextOfAll(std::optional<std::chrono::milliseconds> limit);
  void Handle(std::vector<Fed> fed);
  std::optional<Ending> FirstFailure() const;
  Step Take();
  void Append(Fed fed, Step& all);
  void StopFeeding();
  bool granted() const;

  const GenerationServices& services_;
  const uint32_t choices_each_;
  const size_t prompts_;
  std::vector<One> all_;                   // that were asked for
  std::vector<GenerationRequest> others_;  // that are to be
  const std::shared_ptr<Mailbox<Fed>> fed_ = std::make_shared<Mailbox<Fed>>();
  size_t feeding_ = 0;         // coroutines
  bool started_ = false;       // the first was
  bool over_ = false;          // and are to end
  std::vector<Fed> held_;      // until all are granted
  std::vector<size_t> taken_;  // whose steps were handed out and may have been written by the next question
  size_t ended_ = 0;           // with all their choices
  Ending::Kind greatest_ = Ending::Kind::kStop;  // of these
};

}  // namespace quire::gateway
