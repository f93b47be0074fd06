#include "gateway/api/pipeline/answer.h"

#include <utility>

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

void CountDelivered(Generations& generations, Sink& sink) {
  for (const Positions& positions : sink.TakeDelivered()) {
    generations.Written(positions.choice, positions.count);
  }
}

// Whether anything can follow.
awaitable<bool> Write(const Step& step, const Generations& generations, AnswerWriter& writer, Sink& sink,
                      http::RequestRecord& record, bool& begun) {
  if (!step.pieces.empty()) sink.NoteFirstToken();
  const bool says = !step.pieces.empty() || !step.ends.empty();
  if (says && !std::exchange(begun, true)) writer.Begin(generations.UsageAtEnd(), sink);
  for (const ScoredPrompt& prompt : step.prompts) writer.Scores(prompt);
  for (const Piece& piece : step.pieces) writer.Delta(piece, sink);
  for (const ChoiceEnd& end : step.ends) writer.End(end, sink);
  if (!step.ending) co_return true;
  if (!step.ending->is_error()) {
    writer.Close(generations.UsageAtEnd(), sink);
    co_await sink.Finish();
    co_return false;
  }
  const http::ApiError error = ErrorOf(*step.ending);
  if (sink.may_refuse()) {
    co_await sink.Refuse(error);
    co_return false;
  }
  record.error = error.code;
  writer.Fail(error, sink);
  co_await sink.Finish();
  co_return false;
}

}  // namespace

awaitable<void> Answer(Generations& generations, AnswerWriter& writer, Sink& sink,
                       http::RequestRecord& record) {
  Step step = co_await generations.UntilGranted(kHeadersAfter);
  if (!step.is_error_alone()) sink.Open();
  bool begun = false;
  while (!sink.gone()) {
    const bool goes_on = co_await Write(step, generations, writer, sink, record, begun);
    if (!goes_on) break;
    const absl::Status sent = co_await sink.Flush();
    if (!sent.ok()) break;
    CountDelivered(generations, sink);
    step = co_await generations.Next();
  }
  CountDelivered(generations, sink);
}

}  // namespace quire::gateway
