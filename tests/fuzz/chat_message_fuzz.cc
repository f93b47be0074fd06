// The bytes of a quire.v1.ChatRequest, as a client of gRPC may send them: refused with a field, or a request
// that the HTTP API would take, too.
#include <cstdint>
#include <cstdlib>
#include <variant>

#include "gateway/api/grpc/chat_messages.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quire::gateway;
  const auto parsed = ParseStreamedChatMessage({reinterpret_cast<const char*>(data), size});
  if (const auto* error = std::get_if<quire::http::ApiError>(&parsed)) {
    Check(!error->message.empty());
    Check(error->status == 400 || (error->status == 422 && !error->param.empty()));
    return 0;
  }
  const auto& request = std::get<DoorRequest>(parsed);
  const auto& chat = std::get<ChatPrompt>(request.prompt);
  Check(!request.sampling.model.empty() && !chat.turns.empty());
  Check(request.sampling.choices >= 1 && request.sampling.choices <= 4);
  Check(request.stream && request.make_writer != nullptr);
  return 0;
}
