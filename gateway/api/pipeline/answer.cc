#include "gateway/api/pipeline/answer.h"

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

void CountDelivered(Generation& generation, Sink& sink) {
  for (const Positions& positions : sink.TakeDelivered()) {
    generation.Written(positions.choice, positions.count);
  }
}

void Write(const Step& step, const Generation& generation, AnswerWriter& writer, Sink& sink) {
  if (!step.pieces.empty()) sink.NoteFirstToken();
  for (const Piece& piece : step.pieces) writer.Delta(piece, sink);
  for (const ChoiceEnd& end : step.ends) writer.End(end, sink);
  if (!step.ending) return;
  if (step.ending->is_error()) return writer.Fail(ErrorOf(*step.ending), sink);
  writer.Close(generation.UsageAtEnd(), sink);
}

}  // namespace

awaitable<void> Answer(Generation& generation, AnswerWriter& writer, Sink& sink,
                       http::RequestRecord& record) {
  Step step = co_await generation.UntilGranted(kHeadersAfter);
  if (!step.is_error_alone()) sink.Open();
  while (!sink.gone()) {
    const bool failed = step.ending && step.ending->is_error();
    if (failed && sink.may_refuse()) {
      co_await sink.Refuse(ErrorOf(*step.ending));
      break;
    }
    if (failed) record.error = ErrorOf(*step.ending).code;
    Write(step, generation, writer, sink);
    if (step.ending) {
      co_await sink.Finish();
      break;
    }
    const absl::Status sent = co_await sink.Flush();
    if (!sent.ok()) break;
    CountDelivered(generation, sink);
    step = co_await generation.Next();
  }
  CountDelivered(generation, sink);
}

}  // namespace quire::gateway
