#include "gateway/api/pipeline/answer.h"

#include <utility>

#include "base/async/resumer.h"
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

// False: the client has left.
awaitable<bool> SayParts(const Step& step, AnswerWriter& writer, Sink& sink) {
  bool stays = true;
  for (const Piece& piece : step.pieces) {
    if (writer.SayEcho(piece.choice, piece.positions, sink)) {
      stays = co_await SayRestOfEcho(writer, piece.choice, piece.positions, sink);
    }
    if (!stays) co_return false;
    writer.Delta(piece, sink);
  }
  for (const ChoiceEnd& end : step.ends) {
    if (writer.SayEcho(end.choice, end.positions, sink)) {
      stays = co_await SayRestOfEcho(writer, end.choice, end.positions, sink);
    }
    if (!stays) co_return false;
    writer.End(end, sink);
  }
  co_return true;
}

// Whether anything can follow.
awaitable<bool> Write(const Step& step, const Generations& generations, AnswerWriter& writer, Sink& sink,
                      http::RequestRecord& record, bool& begun) {
  if (!step.pieces.empty()) sink.NoteFirstToken();
  const bool says = !step.pieces.empty() || !step.ends.empty();
  if (says && !std::exchange(begun, true)) writer.Begin(generations.UsageAtEnd(), sink);
  for (const ScoredPrompt& prompt : step.prompts) writer.Scores(prompt);
  const bool stays = co_await SayParts(step, writer, sink);
  if (!stays) co_return false;
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

awaitable<bool> SayRestOfEcho(AnswerWriter& writer, uint32_t choice, uint32_t positions, Sink& sink) {
  bool more = true;
  while (more) {
    const absl::Status sent = co_await sink.Flush();
    co_await Suspend([](Resumer self) { self.Resume(); });
    if (!sent.ok() || sink.gone()) co_return false;
    more = writer.SayEcho(choice, positions, sink);
  }
  co_return true;
}

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
